"""The configured databases.

Knows databases by name; not how one is connected to, used or closed. For the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from sqlalchemy_pool_exporter.databases.database import Database
from sqlalchemy_pool_exporter.redaction import redact
from sqlalchemy_pool_exporter.settings import DatabaseSettings, SettingsError


class EnginesError(Exception):
    """Engines that cannot be built; its text has a line for each problem and no secrets."""


class DatabaseRegistry:
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

    def plan(self, settings: Mapping[str, DatabaseSettings]) -> dict[str, Database]:
        """The databases that these settings ask for: those there are, where nothing changed.

        The others are built, without connecting, and the registry stays as it is until `replace`.
        Reads files, blocking; a thread may do that. Raises EnginesError with all problems.
        """
        databases: dict[str, Database] = {}
        problems: list[str] = []
        for name, each in settings.items():
            try:
                databases[name] = self._find_same(name, each) or Database(name, each)
            except Exception as error:  # whatever a driver's dialect raises
                problems += describe_problem(name, error)
        if problems:
            raise EnginesError("\n".join(problems))
        return databases

    def _find_same(self, name: str, settings: DatabaseSettings) -> Database | None:
        database = self._databases.get(name)
        if database is None or database.settings != settings:
            return None
        return database if database.is_built_for(settings.read_url()) else None

    def replace(self, databases: Mapping[str, Database]) -> None:
        """Know these databases from now on; those that are not among them are left open."""
        self._databases = dict(databases)

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
        return f"<DatabaseRegistry {', '.join(self._databases) or 'empty'}>"


def describe_problem(name: str, error: Exception) -> list[str]:
    """A line for each of a database's problems, as the configuration's errors look."""
    separator = "." if isinstance(error, SettingsError) else ": "
    return [f"databases.{name}{separator}{line}" for line in redact(str(error)).splitlines()]
