"""What the handlers share: the databases, their probes and what is collected from them.

It knows the life of these parts, nothing of requests and answers.
"""

import asyncio
from collections.abc import Iterator, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request

from exporter.app_pools import AppFolder
from exporter.collectors.app_pools import AppPools
from exporter.collectors.database import DatabaseCollector
from exporter.collectors.exporter import ExporterCollector
from exporter.collectors.labels import read_label_names
from exporter.collectors.pool import PoolCollector
from exporter.collectors.timed import TimedCollectors
from exporter.engines import Database, EngineRegistry
from exporter.logs import configure_logging
from exporter.probes import Probe, ProbeSet
from exporter.settings import Settings
from exporter.threads import SharedCall
from exporter.web.changes import list_changes
from exporter.web.reloads import READ_SECONDS, ReloadError, Reloads, Source
from exporter.web.rules import Rules
from exporter.web.scrapes import Scrapes
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS


class State(StrEnum):
    """Where the service is in its life; the words are shown."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Service:
    """The running parts of one exporter; for the event loop's thread only."""

    def __init__(self, settings: Settings, source: Source | None = None) -> None:
        """Builds every engine without connecting. Raises SettingsErrors and EnginesError.

        `source` is where settings are read anew, which makes them `settings` again unless given.
        """
        self.settings = settings
        self.state = State.STARTING
        self.rules = Rules(settings.web.config_file)
        self.engines = EngineRegistry()
        self.engines.replace(self.engines.plan(settings.databases))
        self.probes = ProbeSet(self.engines)
        self.app_folder = AppFolder(settings.app.dir)
        self.scrapes = Scrapes()
        self.has_source = source is not None
        self._first_settings = settings
        self._source = source or Source(lambda: settings, list)
        self._reading = SharedCall(self._load, "reading of the configuration")
        self.reloads = self._build_reloads(self._source)
        self._stopping = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._build_collectors()

    def _build_reloads(self, source: Source) -> Reloads:
        return Reloads(
            self._renew,
            lambda: [*source.list_files(), *self.rules.list_files()],
            None if source.contents is None else {**source.contents, **self.rules.contents},
            source.interval_seconds,
        )

    def _build_collectors(self) -> None:
        self.registry = build_registry(
            {
                "pool": PoolCollector(
                    self.probes.probes,
                    self.app_folder.read,
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

    async def start(self) -> None:
        """Starts the probes; returns before their first answers."""
        await self.probes.start()
        self._watching = asyncio.create_task(self.reloads.watch(), name="watch of files")
        self.state = State.READY

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

        Databases whose settings are the same go on untouched. Raises SettingsErrors, EnginesError,
        TimeoutError and ReloadError, and then no database has changed. The rules come first: a
        certificate is exchanged whatever else is wrong.
        """
        has_new_rules = await self.rules.renew()
        settings, databases = await self._reading.run(READ_SECONDS)
        self._check_ready()
        probes = await self.probes.prepare(databases)
        self._check_ready()  # who stops meanwhile ends those, too
        before = {database.name: database for database in self.engines}
        changes = [
            *list_changes(before, databases),
            *(["web configuration"] if has_new_rules else []),
            *self._list_waiting(settings),
        ]
        nothing = "nothing changed" if settings == self.settings else "its databases are the same"
        self.engines.replace(databases)
        self.probes.replace(probes)
        self._adopt(settings)
        return "; ".join(changes) or nothing

    def _load(self) -> tuple[Settings, dict[str, Database]]:
        settings = self._source.load()
        return settings, self.engines.plan(settings.databases)

    def _check_ready(self) -> None:
        if not self.is_ready:
            raise ReloadError(f"the exporter is {self.state}")

    def _list_waiting(self, settings: Settings) -> Iterator[str]:
        """Yields what waits for a restart; not again for a value that is in use, or was told."""
        old, first = self.settings, self._first_settings
        if settings.listen not in (old.listen, first.listen):
            yield "listen changed; restart the exporter to serve there"
        if settings.web.config_file not in (old.web.config_file, first.web.config_file):
            yield "web.config_file changed; restart the exporter to use that file"

    def _adopt(self, settings: Settings) -> None:
        if settings.log != self.settings.log:
            configure_logging(settings.log.level, settings.log.format)
        if settings.app.dir != self.app_folder.path:
            self.app_folder = AppFolder(settings.app.dir)
        self.settings = settings
        self._build_collectors()

    def __repr__(self) -> str:
        return f"<Service {self.state} {self.probes!r}>"


def build_registry(collectors: Mapping[str, Collector]) -> CollectorRegistry:
    """Returns a registry of our own with all families, each group a collector by name."""
    about_process = {
        "process": ProcessCollector(registry=None),
        "python": PlatformCollector(registry=None),
    }
    registry = CollectorRegistry()
    registry.register(TimedCollectors({**collectors, **about_process}))
    return registry


def build_app_sums(probes: Mapping[str, Probe]) -> AppPools:
    """Returns what sums the application's pools for people: over processes in any case."""
    configured = read_label_names(probe.labels for probe in probes.values())
    return AppPools(probes.values(), (*POOL_LABELS, *configured))


def read_service(request: Request) -> Service:
    """Returns the service of the app a request came to."""
    service: Service = request.app.state.service
    return service
