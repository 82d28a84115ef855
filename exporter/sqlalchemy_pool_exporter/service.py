"""What the handlers share: the databases, their probes and what is collected from them.

It knows the life of these parts, nothing of requests and answers.
"""

import asyncio
from collections.abc import Iterator, Mapping
from enum import StrEnum

from starlette.requests import Request

from sqlalchemy_pool_exporter.collectors.databases import DatabaseCollector
from sqlalchemy_pool_exporter.collectors.exporter import ExporterCollector
from sqlalchemy_pool_exporter.collectors.exposition import RenderQueue
from sqlalchemy_pool_exporter.collectors.pools import PoolCollector
from sqlalchemy_pool_exporter.collectors.registry import build_app_sums, build_registry
from sqlalchemy_pool_exporter.databases import Database, DatabaseRegistry, EnginesError
from sqlalchemy_pool_exporter.logs import configure_logging
from sqlalchemy_pool_exporter.probes import ProbeSet
from sqlalchemy_pool_exporter.reload import READ_SECONDS, Reloader, ReloadError, Source
from sqlalchemy_pool_exporter.settings import Settings, SettingsErrors
from sqlalchemy_pool_exporter.shared_files import SharedFolder
from sqlalchemy_pool_exporter.threads import SharedCall
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy


class State(StrEnum):
    """Where the service is in its life; the words are shown."""

    STARTING = "starting"
    WAITING = "waiting for a configuration that can be used; the log says what is wrong"
    READY = "ready"
    STOPPING = "stopping"


class Service:
    """The running parts of one exporter; for the event loop's thread only."""

    def __init__(self, settings: Settings, source: Source | None = None) -> None:
        """Builds every engine without connecting. Raises SettingsErrors and EnginesError.

        `source` is where settings are read anew, which makes them `settings` again unless given.
        One that can `load_without_databases` is waited for: until it was read, of `settings` only
        the log's are in use, and nothing is shown to anybody.
        """
        self.settings = settings
        self.state = State.STARTING
        self._source = source or Source(lambda: settings, list)
        is_waiting = self._source.load_without_databases is not None
        self.web_policy = WebPolicy(settings.web.config_file, deny_all=is_waiting)
        self.engines = DatabaseRegistry()
        self.engines.replace(self.engines.plan(settings.databases))
        self.probes = ProbeSet(self.engines)
        self.shared_folder = SharedFolder(settings.app.dir)
        self.scrapes = RenderQueue()
        self.has_source = source is not None
        self._first_listen = self._announced_listen = settings.listen
        self._reading = SharedCall(self._load, "reading of the configuration")
        self._reading_rest = SharedCall(self._load_rest, "reading of the rest")
        self.reloads = self._build_reloads(self._source)
        self._stopping = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._build_collectors()

    def _build_reloads(self, source: Source) -> Reloader:
        return Reloader(
            self._renew,
            lambda: [*source.list_files(), *self.web_policy.list_files()],
            None if source.contents is None else {**source.contents, **self.web_policy.contents},
            source.interval_seconds,
            is_loaded=source.load_without_databases is None,
        )

    def _build_collectors(self) -> None:
        self.registry = build_registry(
            {
                "pool": PoolCollector(
                    self.probes.probes,
                    self.shared_folder.read,
                    per_process=self.settings.app.per_process,
                ),
                "database": DatabaseCollector(self.probes.probes),
                "exporter": ExporterCollector(self.reloads),
            }
        )
        self.app_pools = build_app_sums(self.probes.probes)

    @property
    def is_ready(self) -> bool:
        """Whether the probes run and may be asked."""
        return self.state is State.READY

    @property
    def is_running(self) -> bool:
        """Whether it is between start and stop, with a configuration or waiting for one."""
        return self.state in (State.READY, State.WAITING)

    async def start(self) -> None:
        """Starts the probes; returns before their first answers."""
        await self.probes.start()
        if self._source.load_without_databases is None:
            self.state = State.READY
        else:
            self.state = State.WAITING
            await self.reloads.reload_quietly()
        self._watching = asyncio.create_task(self.reloads.watch(), name="watch of files")

    async def stop(self) -> None:
        """Ends the probes and closes every connection, bounded in time; a second call waits."""
        self.state = State.STOPPING
        if self._watching is not None:
            self._watching.cancel()
        async with self._stopping:
            await self.probes.stop()
            await self.engines.close_all()

    async def _renew(self) -> str:
        """Puts what the source says into use, and says what changed.

        As long as it never could be used, what can be is. Raises what its parts raise.
        """
        try:
            return await self._renew_all()
        except (SettingsErrors, EnginesError) as error:
            if self.state is not State.WAITING:
                raise
            lines = [*str(error).splitlines(), *(await self._apply_valid_parts()).splitlines()]
            raise ReloadError("\n".join(dict.fromkeys(lines))) from None

    async def _apply_valid_parts(self) -> str:
        """Puts into use what can be without databases; returns what is wrong even then."""
        try:
            settings = await self._reading_rest.run(READ_SECONDS)
            await self.web_policy.adopt(settings.web.config_file)
        except SettingsErrors as errors:
            return str(errors)
        if self.state is State.WAITING and settings != self.settings:
            self._adopt(settings)
        return ""

    async def _renew_all(self) -> str:
        """As `_renew`, the whole configuration or nothing.

        Databases whose settings are the same go on untouched. Raises SettingsErrors, EnginesError,
        TimeoutError and ReloadError, and then no database has changed. The rules come first: a
        certificate is exchanged whatever else is wrong.
        """
        has_new_rules = await self.web_policy.reload()
        settings, databases = await self._reading.run(READ_SECONDS)
        await self.web_policy.adopt(settings.web.config_file)
        self._check_running()
        probes = await self.probes.prepare(databases)
        self._check_running()  # who stops meanwhile ends those, too
        before = {database.name: database for database in self.engines}
        changes = [
            *list_changes(before, databases),
            *(["web configuration"] if has_new_rules else []),
            *self._list_restart_required(settings),
        ]
        nothing = self._describe_same(settings)
        self.engines.replace(databases)
        self.probes.replace(probes)
        self._adopt(settings)
        self.state = State.READY
        return "; ".join(changes) or nothing

    def _load(self) -> tuple[Settings, dict[str, Database]]:
        settings = self._source.load()
        return settings, self.engines.plan(settings.databases)

    def _load_rest(self) -> Settings:
        return (self._source.load_without_databases or self._source.load)()

    def _check_running(self) -> None:
        if not self.is_running:
            raise ReloadError(f"the exporter is {self.state}")

    def _describe_same(self, settings: Settings) -> str:
        if self.state is State.WAITING:
            return "no databases"
        return "nothing changed" if settings == self.settings else "its databases are the same"

    def _list_restart_required(self, settings: Settings) -> Iterator[str]:
        """Yields what waits for a restart; not again for a value that is in use, or was told."""
        if settings.listen not in (self._first_listen, self._announced_listen):
            yield "listen changed; restart the exporter to serve there"
        self._announced_listen = settings.listen
        if settings.web.config_file not in (self.settings.web.config_file, self.web_policy.file):
            yield "web.config_file changed; restart the exporter to use that file"

    def _adopt(self, settings: Settings) -> None:
        if settings.log != self.settings.log:
            configure_logging(settings.log.level, settings.log.format)
        if settings.app.dir != self.shared_folder.path:
            self.shared_folder = SharedFolder(settings.app.dir)
        self.settings = settings
        self._build_collectors()

    def __repr__(self) -> str:
        return f"<Service {self.state} {self.probes!r}>"


def read_service(request: Request) -> Service:
    """Returns the service of the app a request came to."""
    service: Service = request.app.state.service
    return service


def list_changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    """Yields "added c", "changed a, b", "removed d" for what is by name; nothing for the same."""
    kinds = {
        "added": [name for name in after if name not in before],
        "changed": [n for n in after if n in before and after[n] is not before[n]],
        "removed": [name for name in before if name not in after],
    }
    for kind, names in kinds.items():
        if names:
            yield f"{kind} {', '.join(names)}"
