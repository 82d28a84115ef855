"""Failures before any server is involved: pools, drivers, files."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from sqlalchemy_pool_exporter.dialects import classify
from sqlalchemy_pool_exporter.failures import Failure, Reason
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres


def fail(url: str, statement: str = "SELECT 1", **connect_args: object) -> Failure:
    with pytest.raises(Exception) as raised:  # noqa: PT011, PT012 - what it is, is the question
        engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
        with engine.connect() as connection:
            connection.execute(text(statement))
    return classify(raised.value)


def test_a_pool_without_a_free_connection_is_a_pool_timeout() -> None:
    engine = create_engine(
        "sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with engine.connect(), pytest.raises(Exception, match="limit") as raised:
        engine.connect()
    engine.dispose()
    failure = classify(raised.value)
    assert failure.reason is Reason.POOL_TIMEOUT
    assert failure.message == (
        "QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.01"
    )


def test_an_async_pool_without_a_free_connection_is_a_pool_timeout(
    postgres: EmbeddedPostgres,
) -> None:
    async def exhaust() -> Failure:
        url = postgres.url(DATABASE, *PLAIN, driver="asyncpg")
        engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.01)
        async with engine.connect():
            with pytest.raises(Exception, match="limit") as raised:
                await engine.connect()
        await engine.dispose()
        return classify(raised.value)

    assert asyncio.run(exhaust()).reason is Reason.POOL_TIMEOUT


def test_a_deadline_that_ends_a_statement_is_a_timeout(postgres: EmbeddedPostgres) -> None:
    async def wait() -> Failure:
        url = postgres.url(DATABASE, *PLAIN, driver="asyncpg")
        engine = create_async_engine(url, poolclass=NullPool)
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(0.2), engine.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(60)"))
        return classify(raised.value)

    assert asyncio.run(wait()) == Failure(Reason.TIMEOUT, "no answer in time")


@pytest.mark.parametrize("url", ["nosuchdialect://h/d", "postgresql+nosuchdriver://u:p@h/d"])
def test_an_unknown_dialect_has_the_reason_driver(url: str) -> None:
    failure = fail(url)
    assert failure.reason is Reason.DRIVER
    assert "nosuch" in failure.message


def test_a_driver_that_is_not_installed_has_the_reason_driver() -> None:
    failure = fail("oracle+oracledb://u:p@h/d")
    assert failure.reason is Reason.DRIVER
    assert "oracledb" in failure.message


def test_a_statement_without_its_parameters_has_the_reason_query() -> None:
    failure = fail("sqlite://", "SELECT :amount")
    assert failure.reason is Reason.QUERY
    assert "amount" in failure.message


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT * FROM missing_table"])
def test_a_statement_sqlite_rejects_has_the_reason_query(statement: str) -> None:
    assert fail("sqlite://", statement).reason is Reason.QUERY


def test_a_sqlite_file_that_cannot_be_opened_is_a_missing_database(tmp_path: Path) -> None:
    failure = fail(f"sqlite:///{tmp_path}/missing/shop.db")
    assert failure.reason is Reason.NO_DATABASE
    assert "unable to open database file" in failure.message


def test_a_file_of_another_format_is_a_missing_database(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_bytes(b"something else " * 100)
    failure = fail(f"sqlite:///{tmp_path}/shop.db", "SELECT * FROM sqlite_master")
    assert failure.reason is Reason.NO_DATABASE


def test_a_locked_sqlite_file_is_a_timeout(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN EXCLUSIVE")
        failure = fail(f"sqlite:///{path}", "SELECT * FROM t", timeout=0.01)
    assert failure.reason is Reason.TIMEOUT
    assert "locked" in failure.message


def test_writing_to_a_read_only_sqlite_file_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (a)")
    failure = fail(f"sqlite:///file:{path}?mode=ro&uri=true", "INSERT INTO t VALUES (1)")
    assert failure.reason is Reason.READ_ONLY
