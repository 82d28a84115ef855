"""The probes of several databases, each with a loop of its own.

Knows which probes there are and which of them come and go; not what one does. For the event loop's
thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.probes.probe import Probe

# How long a probe that replaces another may take for its first answer before it is shown as down.
FIRST_ANSWER_SECONDS = 5.0


class ProbeSet:
    """`probes` are by name; those that are not in it yet, or any more, end with the others."""

    def __init__(self, databases: Iterable[Database]) -> None:
        """Take an EngineRegistry, or any databases; probe nothing yet."""
        self.probes = {database.name: Probe(database) for database in databases}
        self._loops: dict[Probe, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def get(self, name: str) -> Probe:
        """The probe by that name. KeyError that lists the known names."""
        try:
            return self.probes[name]
        except KeyError:
            known = ", ".join(self.probes) or "none"
            raise KeyError(f"no database {name!r}; known: {known}") from None

    async def start(self) -> None:
        """Start every probe's loop; returns before the first answer."""
        for probe in self.probes.values():
            self._begin(probe)

    def _begin(self, probe: Probe) -> None:
        self._loops[probe] = asyncio.create_task(probe.run(), name=f"probes of {probe.name}")

    async def prepare(self, databases: Mapping[str, Database]) -> dict[str, Probe]:
        """The probes for these databases, which `replace` takes: those there are, and new ones.

        New ones have begun, and have an answer if that took no longer than FIRST_ANSWER_SECONDS:
        whoever reads `up` shall not see a database down because its settings changed.
        """
        probes = {name: self._find(database) for name, database in databases.items()}
        new = [probe for probe in probes.values() if probe not in self._loops]
        for probe in new:
            self._begin(probe)
        answers = asyncio.gather(*(probe.check() for probe in new), return_exceptions=True)
        await asyncio.wait({answers}, timeout=FIRST_ANSWER_SECONDS)
        return probes

    def _find(self, database: Database) -> Probe:
        probe = self.probes.get(database.name)
        return probe if probe and probe.database is database else Probe(database)

    def replace(self, probes: Mapping[str, Probe]) -> None:
        """Have these probes from now on; the others' databases are closed after their last answer.

        Whoever waits for that still gets it.
        """
        gone = [probe for probe in self.probes.values() if probe not in probes.values()]
        self.probes = dict(probes)
        for probe in gone:
            task = asyncio.create_task(self._retire(probe), name=f"end of {probe.name}")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _retire(self, probe: Probe) -> None:
        self._loops[probe].cancel()
        await probe.finish()
        await probe.database.close()
        self._loops.pop(probe, None)

    async def stop(self) -> None:
        """End the loops and cut off what is in flight, all at the same time; bounded in time.

        The databases of probes that are not in use are closed.
        """
        loops = dict(self._loops)
        for loop in loops.values():
            loop.cancel()
        await asyncio.gather(*loops.values(), return_exceptions=True)
        await asyncio.gather(*(probe.stop() for probe in loops))
        others = loops.keys() - self.probes.values()
        await asyncio.gather(*(probe.database.close() for probe in others), *self._leaving)
        self._loops = {}

    def __repr__(self) -> str:
        up = sum(probe.up for probe in self.probes.values())
        return f"<ProbeSet {up} of {len(self.probes)} up>"
