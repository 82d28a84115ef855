"""Reads a server's status through an engine of any driver, sync or async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from sqlalchemy_pool_exporter.dialects import ServerStatus, find_dialect

T = TypeVar("T")
ASYNC_DRIVERS = {"asyncpg", "aiosqlite"}
# What PgBouncer in transaction mode needs: no prepared statement that outlives its transaction.
ASYNCPG_ARGUMENTS = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}


def read(url: str, *, metrics: bool = True, **connect_args: Any) -> ServerStatus:
    return work(url, lambda connection: read_status(connection, metrics=metrics), **connect_args)


def read_status(connection: Connection, *, metrics: bool) -> ServerStatus:
    """Reads the status as the dialect of the connection does."""
    return find_dialect(connection.dialect.name).read_status(connection, metrics)


def work(url: str, ask: Callable[[Connection], T], **connect_args: Any) -> T:
    """Calls `ask` with a connection of a new engine, in the way its driver wants."""
    driver = make_url(url).get_driver_name()
    if driver in ASYNC_DRIVERS:
        arguments = (ASYNCPG_ARGUMENTS if driver == "asyncpg" else {}) | connect_args
        return asyncio.run(_work_async(url, ask, arguments))
    engine = create_engine(url, connect_args=connect_args)
    try:
        with engine.connect() as connection:
            return ask(connection)
    finally:
        engine.dispose()


async def _work_async(url: str, ask: Callable[[Connection], T], arguments: dict[str, Any]) -> T:
    engine = create_async_engine(url, connect_args=arguments)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(ask)
    finally:
        await engine.dispose()


def record_statements(connection: Connection) -> list[str]:
    """A list to which every statement of the connection is added."""
    statements: list[str] = []

    @event.listens_for(connection, "before_cursor_execute")
    def record(*arguments: Any) -> None:
        statements.append(arguments[2])

    return statements
