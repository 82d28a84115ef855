"""Databases under test, built from settings and closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, make_url

from sqlalchemy_pool_exporter.databases import Database, DatabaseRegistry
from sqlalchemy_pool_exporter.settings import DatabaseSettings
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres

# Soon enough for a test that waits for it, late enough for a machine that is busy.
TIMEOUT = 0.5
PATIENCE = 30.0
ASYNC, SYNC = "asyncpg", "psycopg"
# The last one is an async driver whose connections notice what asyncpg's do not, and vice versa.
DRIVERS = (ASYNC, SYNC, "psycopg_async")


def build_settings(url: str, **keys: Any) -> DatabaseSettings:
    keys.setdefault("probe", {"timeout": PATIENCE})
    return DatabaseSettings.model_validate({"url": url, **keys})


@asynccontextmanager
async def open_registry(
    settings: Mapping[str, DatabaseSettings],
) -> AsyncIterator[DatabaseRegistry]:
    """A registry of these databases by name."""
    registry = DatabaseRegistry()
    registry.replace(registry.prepare(settings))
    try:
        yield registry
    finally:
        await registry.close_all()


@asynccontextmanager
async def open_database(url: str, **keys: Any) -> AsyncIterator[Database]:
    async with open_registry({"shop": build_settings(url, **keys)}) as registry:
        yield registry.get("shop")


async def ask(
    database: Database, statement: str, *, fresh: bool = False, timeout_seconds: float = PATIENCE
) -> Any:
    """The first value of a statement's result."""
    answer, _ = await database.run(read(statement), fresh=fresh, timeout_seconds=timeout_seconds)
    return answer


def read(statement: str) -> Callable[[Connection], Any]:
    return lambda connection: connection.exec_driver_sql(statement).scalar()


def redirect(url: str, port: int) -> str:
    """The same URL with another port."""
    return make_url(url).set(port=port).render_as_string(hide_password=False)


def plain_url(server: EmbeddedPostgres, driver: str = ASYNC) -> str:
    return server.url(DATABASE, *PLAIN, driver=driver)
