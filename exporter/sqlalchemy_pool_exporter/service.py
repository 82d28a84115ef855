"""The running exporter: its databases, their probes, the collectors and the web configuration."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Final

from sqlalchemy_pool_exporter.collectors.databases import DatabaseCollector
from sqlalchemy_pool_exporter.collectors.exporter import ExporterCollector, ReloadStatus
from sqlalchemy_pool_exporter.collectors.exposition import RenderQueue
from sqlalchemy_pool_exporter.collectors.pool_sums import PoolSums
from sqlalchemy_pool_exporter.collectors.pools import PoolCollector
from sqlalchemy_pool_exporter.collectors.registry import build_collectors
from sqlalchemy_pool_exporter.databases import Database, DatabaseRegistry
from sqlalchemy_pool_exporter.logs import configure_logging
from sqlalchemy_pool_exporter.probes import ProbeSet
from sqlalchemy_pool_exporter.settings import Settings
from sqlalchemy_pool_exporter.shared_files import SharedFolder
from sqlalchemy_pool_exporter.threads import run_in_daemon_thread
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy

# How long requests wait for the start; five hundred engines take half a second.
START_SECONDS: Final = 5.0


class State(StrEnum):
    """Where the service is in its life. Users see these words."""

    STARTING = "starting"
    WAITING = "waiting for a valid configuration; the log says what is wrong"
    READY = "ready"
    STOPPING = "stopping"


class NotRunningError(Exception):
    """The service has not started yet, or is stopping."""


class Service:
    """The parts of one exporter and the settings they run with. Use it in the event loop's thread.

    Attributes:
        settings: The settings in use now.
        web_policy: Who may send requests, and whether over TLS.
        databases: The configured databases by name.
        probes: One for each database.
        shared_folder: The files that the application's processes share.
        collectors: Everything that `/metrics` shows.
        pool_sums: The application's pools for the status page, never per process.
        reload_status: Whether loading the configuration succeeds.
    """

    def __init__(self, settings: Settings, *, wait_for_config: bool = False) -> None:
        """Read the web configuration; `start` does the rest.

        Args:
            settings: The first settings.
            wait_for_config: Start without databases and refuse all requests until a configuration
                is applied. Until then, only the log settings of `settings` are used.

        Raises:
            SettingsErrors: The web configuration is not valid.
        """
        self.settings = settings
        self.state = State.STARTING
        self.web_policy = WebPolicy(settings.web.config_file, deny_all=wait_for_config)
        self.databases = DatabaseRegistry()
        self.probes = ProbeSet(self.databases)
        self.shared_folder = SharedFolder(settings.app.dir)
        self.shared_folder.leak_threshold = settings.app.leak_threshold
        self.reload_status = ReloadStatus()
        if not wait_for_config:
            self.reload_status.succeed()
        self.render_queue = RenderQueue()
        self._wait_for_config = wait_for_config
        self._first_listen = self._announced_listen = settings.listen
        self._stopping = asyncio.Lock()
        self._has_settled = asyncio.Event()
        self._has_settled.set()
        self._build_collectors()

    def _build_collectors(self) -> None:
        self.collectors = build_collectors(
            {
                "pool": PoolCollector(
                    self.probes.probes,
                    self.shared_folder.read,
                    per_process=self.settings.app.per_process,
                    probe_pools=self.settings.metrics.probe_pools,
                ),
                "database": DatabaseCollector(self.probes.probes),
                "exporter": ExporterCollector(self.reload_status),
            }
        )
        self.pool_sums = PoolSums(self.probes.probes.values())

    @property
    def is_ready(self) -> bool:
        """Whether the probes run."""
        return self.state is State.READY

    @property
    def is_running(self) -> bool:
        """Whether it is between start and stop, with or without a configuration."""
        return self.state in (State.READY, State.WAITING)

    async def build_databases(self) -> None:
        """Build every engine without connecting, in a thread: hundreds take a while.

        Raises:
            EnginesError: An engine cannot be built.
        """
        self._has_settled.clear()
        build = partial(self.databases.prepare, self.settings.databases)
        self.databases.replace(await run_in_daemon_thread(build, "building engines"))
        self.probes = ProbeSet(self.databases)
        self._build_collectors()

    async def start(self) -> None:
        """Start the probes, without waiting for their first answers.

        Raises:
            EnginesError: An engine cannot be built.
        """
        if not list(self.databases):  # the server has built them, an application alone has not
            await self.build_databases()
        await self.probes.start()
        self.state = State.WAITING if self._wait_for_config else State.READY
        if not self._wait_for_config:
            self.end_start()

    def end_start(self) -> None:
        """Let the requests in that wait for the start."""
        self._has_settled.set()

    async def wait_for_start(self) -> bool:
        """Wait until the start has ended, for START_SECONDS at most; return whether it has."""
        if not self._has_settled.is_set():  # else a timeout would cost 3 % of a small scrape
            with suppress(TimeoutError):
                async with asyncio.timeout(START_SECONDS):
                    await self._has_settled.wait()
        return self._has_settled.is_set()

    async def stop(self) -> None:
        """Stop the probes and close every connection, in bounded time; a second call waits, too."""
        self.state = State.STOPPING
        self._has_settled.set()
        async with self._stopping:
            await self.probes.stop()
            await self.databases.close_all()

    async def apply(self, settings: Settings, databases: Mapping[str, Database]) -> list[str]:
        """Apply a whole configuration and return what changed, for people.

        New databases are probed once before they replace anything. On an error all databases stay
        unchanged.

        Args:
            settings: The new settings.
            databases: The result of `DatabaseRegistry.prepare` for them. A database whose settings
                are the same keeps its pool, its probe and every counter.

        Raises:
            SettingsErrors: The web configuration is not valid.
            TimeoutError: The web configuration could not be read in time.
            NotRunningError: The service is stopping.
        """
        await self.web_policy.adopt(settings.web.config_file)
        self._check_running()
        probes = await self.probes.prepare(databases)
        self._check_running()  # a stop during the await above has stopped the new probes, too
        before = {database.name: database for database in self.databases}
        changes = [*list_changes(before, databases), *self._list_restart_required(settings)]
        self.databases.replace(databases)
        self.probes.replace(probes)
        self._apply(settings)
        self.state = State.READY
        return changes

    async def apply_without_databases(self, settings: Settings) -> None:
        """Apply everything except databases, while waiting for a valid configuration.

        Raises:
            SettingsErrors: The web configuration is not valid.
            TimeoutError: The web configuration could not be read in time.
        """
        await self.web_policy.adopt(settings.web.config_file)
        if self.state is State.WAITING and settings != self.settings:
            self._apply(settings)

    def _check_running(self) -> None:
        if not self.is_running:
            raise NotRunningError(f"the exporter is {self.state}")

    def _list_restart_required(self, settings: Settings) -> Iterator[str]:
        """Yield the changes that need a restart, each once."""
        if settings.listen not in (self._first_listen, self._announced_listen):
            yield "listen changed; restart the exporter to serve there"
        self._announced_listen = settings.listen
        if settings.web.config_file not in (self.settings.web.config_file, self.web_policy.file):
            yield "web.config_file changed; restart the exporter to use that file"

    def _apply(self, settings: Settings) -> None:
        if settings.log != self.settings.log:
            configure_logging(settings.log.level, settings.log.format)
        if settings.app.dir != self.shared_folder.path:
            self.shared_folder = SharedFolder(settings.app.dir)
        self.shared_folder.leak_threshold = settings.app.leak_threshold
        self.settings = settings
        self._build_collectors()

    def __repr__(self) -> str:
        return f"<Service {self.state} {self.probes!r}>"


def list_changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    """Yield "added c", "changed a, b" and "removed d", without the empty ones."""
    kinds = {
        "added": [name for name in after if name not in before],
        "changed": [n for n in after if n in before and after[n] is not before[n]],
        "removed": [name for name in before if name not in after],
    }
    for kind, names in kinds.items():
        if names:
            yield f"{kind} {', '.join(names)}"
