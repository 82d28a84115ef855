"""The probes of all databases, each running in its own task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.probes.probe import Probe

# How long a probe that replaces another may take for its first check before it is shown as down.
FIRST_CHECK_SECONDS = 5.0


class ProbeSet:
    """The probes by name; for the event loop's thread.

    Tasks may run for more probes than `probes` has: for new ones that `prepare` has started, and
    for old ones that are still closing.
    """

    def __init__(self, databases: Iterable[Database]) -> None:
        """Build a probe for each database, and probe nothing yet."""
        self.probes = {database.name: Probe(database) for database in databases}
        self._tasks: dict[Probe, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._beginning = asyncio.Lock()

    def get(self, name: str) -> Probe:
        """Return the probe with this name. Raises KeyError that lists the existing names."""
        try:
            return self.probes[name]
        except KeyError:
            known = ", ".join(self.probes) or "none"
            raise KeyError(f"no database {name!r}; known: {known}") from None

    async def start(self) -> None:
        """Start every probe, without waiting for the first check."""
        for probe in self.probes.values():
            self._start(probe)

    def _start(self, probe: Probe) -> None:
        self._tasks[probe] = asyncio.create_task(self._run(probe), name=f"probes of {probe.name}")

    async def _run(self, probe: Probe) -> None:
        async with self._beginning:  # hundreds at once would hold up the event loop for seconds
            await asyncio.sleep(0)
        await probe.run()

    async def prepare(self, databases: Mapping[str, Database]) -> dict[str, Probe]:
        """Return the probes of these databases for `replace`: present ones, else new ones.

        New ones are started, and checked if that takes no longer than FIRST_CHECK_SECONDS, so that
        `up` does not drop to 0 because a database's settings have changed.
        """
        probes = {name: self._get_or_build(database) for name, database in databases.items()}
        new = [probe for probe in probes.values() if probe not in self._tasks]
        for probe in new:
            self._start(probe)
        checks = asyncio.gather(*(probe.check() for probe in new), return_exceptions=True)
        await asyncio.wait({checks}, timeout=FIRST_CHECK_SECONDS)
        return probes

    def _get_or_build(self, database: Database) -> Probe:
        probe = self.probes.get(database.name)
        return probe if probe and probe.database is database else Probe(database)

    def replace(self, probes: Mapping[str, Probe]) -> None:
        """Use these probes from now on, and close the others with their databases.

        Callers that wait for a check by one of the others still get it.
        """
        dropped = [probe for probe in self.probes.values() if probe not in probes.values()]
        self.probes = dict(probes)
        for probe in dropped:
            task = asyncio.create_task(self._close(probe), name=f"end of {probe.name}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close(self, probe: Probe) -> None:
        self._tasks[probe].cancel()
        await probe.finish()
        await probe.database.close()
        self._tasks.pop(probe, None)

    async def stop(self) -> None:
        """Cut off all probes at the same time; bounded in time.

        Also close the databases of those that are not in `probes`: nothing else closes them.
        """
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await asyncio.gather(*(probe.stop() for probe in tasks))
        others = tasks.keys() - self.probes.values()
        await asyncio.gather(*(probe.database.close() for probe in others), *self._closing)
        self._tasks = {}

    def __repr__(self) -> str:
        up = sum(probe.up for probe in self.probes.values())
        return f"<ProbeSet {up} of {len(self.probes)} up>"
