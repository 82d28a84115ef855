"""What the handlers share: the databases, their probes and what is collected from them.

It knows the life of these parts, nothing of requests and answers.
"""

import asyncio
import time
from collections.abc import Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from starlette.requests import Request

from exporter.app_pools import AppFolder
from exporter.collectors.app_pools import AppPools
from exporter.collectors.database import DatabaseCollector
from exporter.collectors.exporter import ExporterCollector
from exporter.collectors.labels import read_label_names
from exporter.collectors.pool import PoolCollector, ReadApp
from exporter.collectors.timed import TimedCollectors
from exporter.engines import EngineRegistry
from exporter.probes import Probe, ProbeSet
from exporter.redaction import redact
from exporter.settings import Settings, SettingsError
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS


class State(StrEnum):
    """Where the service is in its life; the words are shown."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class EnginesError(Exception):
    """Engines that cannot be built; its text has a line for each problem and no secrets."""


class Service:
    """The running parts of one exporter; for the event loop's thread only."""

    def __init__(self, settings: Settings) -> None:
        """Builds every engine without connecting. Raises EnginesError."""
        self.settings = settings
        self.state = State.STARTING
        self.engines = build_engines(settings)
        self.probes = ProbeSet(self.engines)
        self.app_folder = AppFolder(settings.app.dir)
        self.registry = build_registry(
            self.probes.probes, self.app_folder.read, per_process=settings.app.per_process
        )
        self.app_pools = build_app_sums(self.probes.probes)
        self._stopping = asyncio.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether the probes run and may be asked."""
        return self.state is State.READY

    async def start(self) -> None:
        """Starts the probes; returns before their first answers."""
        await self.probes.start()
        self.state = State.READY

    async def stop(self) -> None:
        """Ends the probes and closes every connection, bounded in time; a second call waits."""
        self.state = State.STOPPING
        async with self._stopping:
            await self.probes.stop()
            await self.engines.close_all()

    def __repr__(self) -> str:
        return f"<Service {self.state} {self.probes!r}>"


def build_engines(settings: Settings) -> EngineRegistry:
    """Returns an engine for each database. Raises EnginesError with all that cannot be built."""
    engines = EngineRegistry()
    problems: list[str] = []
    for name, database in settings.databases.items():
        try:
            engines.add(name, database)
        except Exception as error:  # whatever a driver's dialect raises
            problems += describe_problem(name, error)
    if problems:
        raise EnginesError("\n".join(problems))
    return engines


def describe_problem(name: str, error: Exception) -> list[str]:
    """Returns a line for each of a database's problems, as the configuration's errors look."""
    separator = "." if isinstance(error, SettingsError) else ": "
    return [f"databases.{name}{separator}{line}" for line in redact(str(error)).splitlines()]


def build_registry(
    probes: Mapping[str, Probe], read_app: ReadApp, *, per_process: bool
) -> CollectorRegistry:
    """Returns a registry of our own with all families, each group a collector by name."""
    registry = CollectorRegistry()
    registry.register(
        TimedCollectors(
            {
                "pool": PoolCollector(probes, read_app, per_process=per_process),
                "database": DatabaseCollector(probes),
                "exporter": ExporterCollector(loaded_at=time.time()),
                "process": ProcessCollector(registry=None),
                "python": PlatformCollector(registry=None),
            }
        )
    )
    return registry


def build_app_sums(probes: Mapping[str, Probe]) -> AppPools:
    """Returns what sums the application's pools for people: over processes in any case."""
    configured = read_label_names(probe.labels for probe in probes.values())
    return AppPools(probes.values(), (*POOL_LABELS, *configured))


def read_service(request: Request) -> Service:
    """Returns the service of the app a request came to."""
    service: Service = request.app.state.service
    return service
