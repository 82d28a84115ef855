from __future__ import annotations

import asyncio
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from sqlalchemy_pool_exporter.databases.connections import ConnectionTracker, abort
from sqlalchemy_pool_exporter.databases.executors import AsyncExecutor, Executor, ThreadExecutor
from sqlalchemy_pool_exporter.dialects import Driver
from tests.exporter.waiting import wait_for
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.mariadb import MariaDB

pytestmark = pytest.mark.anyio

POSTGRES_SLEEP = "SELECT pg_sleep(30)"


class Client:
    """An engine with its connection tracker, and the executor for its calls."""

    def __init__(self, engine: Engine, executor: Executor) -> None:
        self.engine = engine
        self.executor = executor
        self.connections = ConnectionTracker(engine, self.connect)

    def connect(self) -> DBAPIConnection:
        cargs, cparams = self.engine.dialect.create_connect_args(self.engine.url)
        return self.engine.dialect.connect(*cargs, **cparams)

    def execute(self, statement: str) -> None:
        with self.engine.connect() as connection:
            connection.exec_driver_sql(statement).fetchall()


def build_client(url: str) -> Client:
    if "asyncpg" in url or "aiosqlite" in url:
        return Client(create_async_engine(url).sync_engine, AsyncExecutor("async", Driver()))
    return Client(create_engine(url), ThreadExecutor("sync"))


async def abort_during(client: Client, statement: str) -> DBAPIError:
    """Abort the connection of a statement that takes for ever; return its error."""
    future = client.executor.start(lambda: client.execute(statement))
    await wait_for(lambda: repr(client.connections) == "<ConnectionTracker opening=0 open=1>")
    assert client.connections.abort() == 1
    with pytest.raises(DBAPIError) as raised:
        await future
    client.executor.close()
    return raised.value


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_query_of_postgresql_stops_waiting(postgres: EmbeddedPostgres, driver: str) -> None:
    error = await abort_during(build_client(postgres.url(driver=driver)), POSTGRES_SLEEP)
    assert error.connection_invalidated


async def test_a_query_of_mariadb_stops_waiting(mariadb: MariaDB) -> None:
    error = await abort_during(build_client(mariadb.url()), "SELECT SLEEP(30)")
    assert error.connection_invalidated


@pytest.mark.parametrize("driver", ["pysqlite", "aiosqlite"])
async def test_a_query_of_sqlite_stops_computing(tmp_path: Path, driver: str) -> None:
    client = build_client(f"sqlite+{driver}:///{tmp_path / 'shop.db'}")
    steps: list[None] = []

    @event.listens_for(client.engine, "connect")
    def teach(connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("step", 0, lambda: steps.append(None))

    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT step() FROM n) SELECT max(i) FROM n"
    )
    future = client.executor.start(lambda: client.execute(endless))
    await wait_for(lambda: len(steps) > 0)
    client.connections.abort()
    with pytest.raises(DBAPIError, match="interrupted"):
        await future
    client.connections.reset()
    await client.executor.start(client.engine.dispose)
    client.executor.close()


async def test_a_login_that_hangs_ends_without_a_timeout_of_the_driver() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = build_client(f"mysql+pymysql://app:x@127.0.0.1:{silent.getsockname()[1]}/shop")
        future = client.executor.start(lambda: client.execute("SELECT 1"))
        accepted, _ = await asyncio.to_thread(silent.accept)
        assert client.connections.abort() == 1
        with accepted, pytest.raises(DBAPIError):
            await future
        client.connections.reset()
        assert client.connections.abort() == 0
        client.executor.close()


async def test_closed_connections_are_not_tracked(tmp_path: Path) -> None:
    client = build_client(f"sqlite:///{tmp_path / 'shop.db'}")
    await client.executor.start(lambda: client.execute("SELECT 1"))
    await client.executor.start(client.engine.dispose)
    client.connections.reset()
    assert client.connections.abort() == 0
    client.executor.close()


async def test_a_connection_that_failed_while_it_was_set_up_is_closed_by_the_reset(
    postgres: EmbeddedPostgres,
) -> None:
    client = build_client(postgres.url(driver="asyncpg"))

    @event.listens_for(client.engine, "connect", insert=True)
    def fail(_connection: DBAPIConnection, _record: object) -> None:
        raise ValueError("not like this")

    with pytest.raises(ValueError, match="not like this"):
        await client.executor.start(lambda: client.execute("SELECT 1"))
    assert repr(client.connections) == "<ConnectionTracker opening=1 open=0>"
    client.connections.reset()
    assert repr(client.connections) == "<ConnectionTracker opening=0 open=0>"


def test_aborting_never_raises() -> None:
    abort(object(), Driver())


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_a_connection_that_is_still_being_opened_when_all_are_aborted_is_closed(
    postgres: EmbeddedPostgres, mariadb: MariaDB, driver: str
) -> None:
    server: EmbeddedPostgres | MariaDB = postgres if driver == "psycopg" else mariadb
    engine = create_engine(server.url(driver=driver))
    opened: list[DBAPIConnection] = []

    def connect_late() -> DBAPIConnection:
        cargs, cparams = engine.dialect.create_connect_args(engine.url)
        opened.append(engine.dialect.connect(*cargs, **cparams))
        connections.abort()
        return opened[0]

    connections = ConnectionTracker(engine, connect_late)
    with pytest.raises(ConnectionAbortedError, match="aborted"):
        engine.connect()
    assert repr(connections) == "<ConnectionTracker opening=0 open=0>"
    assert not is_open(opened[0])


def is_open(connection: Any) -> bool:
    return not connection.closed if hasattr(connection, "closed") else bool(connection.open)
