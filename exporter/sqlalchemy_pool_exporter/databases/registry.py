"""The configured databases by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from sqlalchemy_pool_exporter.databases.database import Database
from sqlalchemy_pool_exporter.redaction import redact
from sqlalchemy_pool_exporter.settings import DatabaseSettings, SettingsError


class EnginesError(Exception):
    """Engines that cannot be built; the text has a line for each problem and no secrets."""


class DatabaseRegistry:
    """The configured databases, in the order of the configuration; for the event loop's thread."""

    def __init__(self) -> None:
        self._databases: dict[str, Database] = {}

    def get(self, name: str) -> Database:
        """Return the database with this name. Raises KeyError that lists the existing names."""
        try:
            return self._databases[name]
        except KeyError:
            known = ", ".join(self._databases) or "none"
            raise KeyError(f"no database {name!r}; known: {known}") from None

    def prepare(self, settings: Mapping[str, DatabaseSettings]) -> dict[str, Database]:
        """Return the databases for `replace`: present ones that have not changed, else new ones.

        Connects to nothing and changes nothing. Reads files, so call it in a thread that may block.
        Raises EnginesError with every problem.
        """
        databases: dict[str, Database] = {}
        problems: list[str] = []
        for name, each in settings.items():
            try:
                databases[name] = self._get_unchanged(name, each) or Database(name, each)
            except Exception as error:  # whatever a driver's dialect raises
                problems += describe_problem(name, error)
        if problems:
            raise EnginesError("\n".join(problems))
        return databases

    def _get_unchanged(self, name: str, settings: DatabaseSettings) -> Database | None:
        database = self._databases.get(name)
        if database is None or database.settings != settings:
            return None
        return database if database.has_driver_of(settings.read_url()) else None

    def replace(self, databases: Mapping[str, Database]) -> None:
        """Use these databases from now on. Dropped ones stay open."""
        self._databases = dict(databases)

    async def close_all(self) -> None:
        """Close and drop every database, all at the same time; bounded in time."""
        databases = list(self._databases.values())
        self._databases.clear()
        await asyncio.gather(*(database.close() for database in databases))

    def __iter__(self) -> Iterator[Database]:
        return iter(list(self._databases.values()))

    def __repr__(self) -> str:
        return f"<DatabaseRegistry {', '.join(self._databases) or 'empty'}>"


def describe_problem(name: str, error: Exception) -> list[str]:
    """Return a line for each problem of a database, in the form of the configuration's errors."""
    separator = "." if isinstance(error, SettingsError) else ": "
    return [f"databases.{name}{separator}{line}" for line in redact(str(error)).splitlines()]
