"""The registry of engines: one per configured database, each with its pool instrumented.

Knows databases by name; not how one is connected to, used or closed. For the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from exporter.engines.database import Database
from exporter.settings import DatabaseSettings


class EngineRegistry:
    """The configured databases by name, in the order in which they were added."""

    def __init__(self) -> None:
        self._databases: dict[str, Database] = {}

    def add(self, name: str, settings: DatabaseSettings) -> Database:
        """Build a database's engine, without connecting. ValueError when the name is taken."""
        if name in self._databases:
            raise ValueError(f"database {name!r} exists already; expected a new name")
        database = self._databases[name] = Database(name, settings)
        return database

    def get(self, name: str) -> Database:
        """The database by that name. KeyError that lists the known names."""
        try:
            return self._databases[name]
        except KeyError:
            known = ", ".join(self._databases) or "none"
            raise KeyError(f"no database {name!r}; known: {known}") from None

    def names(self) -> tuple[str, ...]:
        return tuple(self._databases)

    async def recreate(self, name: str) -> None:
        """Replace a database's pool by a new one and test that. KeyError for an unknown name."""
        await self.get(name).recreate()

    async def close_all(self) -> None:
        """Close and forget every database, all at the same time; bounded in time."""
        databases = list(self._databases.values())
        self._databases.clear()
        await asyncio.gather(*(database.close() for database in databases))

    def __iter__(self) -> Iterator[Database]:
        return iter(list(self._databases.values()))

    def __repr__(self) -> str:
        return f"<EngineRegistry {', '.join(self._databases) or 'empty'}>"
