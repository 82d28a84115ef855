"""How long an application's statements run, and what its statements and connections fail of."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import greenlet  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from sqlalchemy_pool_metrics import MetricsQueuePool, instrument, metrics_class, read_pool
from sqlalchemy_pool_metrics.layout import FAILURE_REASONS
from tests.agent.stub_driver import StubConnection, StubDriver, build_engine
from tests.exporter.waiting import wait_for
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import LOCALHOST, open_closed_port

NONSENSE = "SELECT nonsense"


def read_failures(engine: Engine | AsyncEngine, of: str = "statement") -> dict[str, int]:
    """The failures of an engine's statements or connections by reason, without those that are 0."""
    pool = read_pool(engine)
    counts = {reason: pool.counter(f"{of}_failures_{reason}") for reason in FAILURE_REASONS}
    return {reason: count for reason, count in counts.items() if count}


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def fail(engine: Engine, statement: str = NONSENSE) -> DBAPIError:
    with pytest.raises(DBAPIError) as raised:
        execute(engine, statement)
    return raised.value


BUILDERS: dict[str, Callable[[str], Engine]] = {
    "instrument": lambda url: instrument(create_engine(url)),
    "plugin": lambda url: create_engine(url, plugins=["pool_metrics"]),
    "poolclass": lambda url: create_engine(url, poolclass=MetricsQueuePool),
    "pool": lambda url: create_engine(
        url, pool=MetricsQueuePool(lambda: sqlite3.connect(make_url(url).database or ""))
    ),
}


@pytest.mark.parametrize("way", BUILDERS)
def test_a_statement_that_fails_is_counted_however_recording_began(
    tmp_path: Path, way: str
) -> None:
    engine = BUILDERS[way](f"sqlite:///{tmp_path}/shop.db")
    execute(engine, "CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    assert read_failures(engine) == {}
    fail(engine)
    execute(engine, "INSERT INTO orders VALUES (1)")
    with pytest.raises(IntegrityError):
        execute(engine, "INSERT INTO orders VALUES (1)")
    assert read_failures(engine) == {"query": 1, "other": 1}
    assert read_failures(engine, "connection") == {}


def test_an_engine_that_was_in_use_is_counted_from_then_on(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    fail(engine)
    instrument(engine)
    fail(engine)
    engine.dispose()
    fail(engine)
    assert read_failures(engine) == {"query": 2}


def test_copies_of_an_engine_count_in_its_pool(tmp_path: Path) -> None:
    engine = instrument(create_engine(f"sqlite:///{tmp_path}/shop.db"))
    fail(engine.execution_options(isolation_level="AUTOCOMMIT"))
    assert read_failures(engine) == {"query": 1}


def test_an_asyncio_engine_is_counted(tmp_path: Path) -> None:
    engine = instrument(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db"))

    async def run() -> None:
        with pytest.raises(OperationalError):
            async with engine.connect() as connection:
                await connection.execute(text(NONSENSE))
        await engine.dispose()

    asyncio.run(run())
    assert read_failures(engine) == {"query": 1}


def test_a_commit_that_fails_is_a_failed_statement(tmp_path: Path) -> None:
    engine = instrument(create_engine(f"sqlite:///{tmp_path}/shop.db"))
    parent = "parent INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED"
    execute(engine, f"CREATE TABLE t (id INTEGER PRIMARY KEY, {parent})")
    with engine.connect() as connection:
        connection.execute(text("PRAGMA foreign_keys = ON"))
        connection.execute(text("INSERT INTO t VALUES (1, 2)"))
        with pytest.raises(IntegrityError):
            connection.commit()
    assert read_failures(engine) == {"other": 1}


def test_a_users_listener_sees_and_replaces_errors_as_before(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    seen: list[Any] = []

    def replace(context: Any) -> Exception:
        seen.append(context)
        return ValueError("replaced")

    event.listen(engine, "handle_error", replace, retval=True)
    instrument(engine)
    with pytest.raises(ValueError, match="replaced"):
        execute(engine, NONSENSE)
    assert [context.statement for context in seen] == [NONSENSE]
    assert read_failures(engine) == {"query": 1}


def raise_in_server(code: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$"


FAILING = [
    ("read_only", ["SET TRANSACTION READ ONLY", "CREATE TABLE new (id int)"]),
    ("timeout", ["SET statement_timeout = 1", "SELECT pg_sleep(60)"]),
    ("cancelled", ["SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)"]),
    ("disconnected", ["SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)"]),
    ("deadlock", [raise_in_server("40P01")]),
    ("serialization", [raise_in_server("40001")]),
    ("too_many_connections", [raise_in_server("53300")]),
    ("other", [raise_in_server("23505")]),
]


def execute_all(engine: Engine, statements: list[str]) -> None:
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_every_reason_is_found_on_a_real_server(postgres: EmbeddedPostgres) -> None:
    engine = instrument(create_engine(postgres.url(DATABASE, *PLAIN, driver="psycopg")))
    for count, (reason, statements) in enumerate(FAILING, 1):
        with pytest.raises(DBAPIError):
            execute_all(engine, statements)
        found = read_failures(engine)
        assert (found.get(reason), sum(found.values())) == (1, count), reason
    engine.dispose()


def test_a_stream_that_fails_while_rows_are_fetched_is_counted(postgres: EmbeddedPostgres) -> None:
    engine = instrument(create_engine(postgres.url(DATABASE, *PLAIN, driver="psycopg")))
    rows = text("SELECT 1 / (100 - i) FROM generate_series(1, 100) AS i")
    options = {"stream_results": True, "max_row_buffer": 10}
    with engine.connect() as connection:
        stream = connection.execute(rows, execution_options=options)
        assert read_failures(engine) == {}
        with pytest.raises(DBAPIError):
            stream.all()
    assert read_failures(engine) == {"query": 1}
    engine.dispose()


def test_a_cancelled_task_cancels_its_statement(postgres: EmbeddedPostgres) -> None:
    engine = instrument(create_async_engine(postgres.url(DATABASE, *PLAIN, driver="asyncpg")))

    async def run() -> None:
        async with engine.connect() as connection:
            sleep = asyncio.ensure_future(connection.execute(text("SELECT pg_sleep(60)")))
            await wait_for(lambda: read_pool(engine).busy == 1)
            sleep.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sleep
            assert read_pool(engine).busy == 0
        await engine.dispose()

    asyncio.run(run())
    assert read_failures(engine) == {"cancelled": 1}


def test_a_connection_that_is_refused_has_that_reason() -> None:
    with open_closed_port() as port:
        engine = instrument(create_engine(f"postgresql+psycopg://app@{LOCALHOST}:{port}/shop"))
        fail(engine)
    assert read_failures(engine, "connection") == {"refused": 1}
    assert read_failures(engine) == {}


def test_a_connection_that_the_caller_gave_up_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = StubDriver()

    def cancel() -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(driver, "connect", cancel)
    engine = build_engine(MetricsQueuePool, driver)
    with pytest.raises(asyncio.CancelledError):
        engine.raw_connection()
    assert read_failures(engine, "connection") == {"cancelled": 1}


Execute = Callable[[Connection], object]
WAYS: dict[str, Execute] = {
    "execute": lambda connection: connection.exec_driver_sql("SELECT 1"),
    "executemany": lambda connection: connection.exec_driver_sql("SELECT ?", [("a",), ("b",)]),
    "without parameters": lambda connection: connection.execution_options(
        no_parameters=True
    ).exec_driver_sql("SELECT 1"),
}


class Statements:
    """An engine over the stub driver; a statement calls `meanwhile`, and notes who is busy."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile
        self.seen: list[int] = []
        self.driver = StubDriver()
        self.driver.on_execute = self.look
        self.engine = instrument(build_engine(MetricsQueuePool, self.driver), holders=True)

    def look(self) -> None:
        self.seen.append(self.busy)
        self.meanwhile()
        self.seen.append(self.busy)

    @property
    def busy(self) -> int:
        now = read_pool(self.engine)
        assert sum(each.busy_ns for each in now.holders) == now.busy_ns
        return now.busy


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_is_busy_while_the_driver_executes(way: str) -> None:
    statements = Statements()
    with statements.engine.connect() as connection:
        assert statements.busy == 0
        WAYS[way](connection)
        assert statements.busy == 0
    assert statements.seen == [1, 1]


def test_a_connection_is_busy_while_it_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = Statements()
    monkeypatch.setattr(StubConnection, "commit", lambda _: statements.look())
    with statements.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.commit()
        assert statements.busy == 0
    assert statements.seen == [1, 1] * 2


def test_busy_time_is_a_part_of_the_time_in_hand() -> None:
    statements = Statements()
    with statements.engine.connect() as connection:
        for _ in range(3):
            connection.exec_driver_sql("SELECT 1")
        now = read_pool(statements.engine)
    assert 0 < now.busy_ns < now.checked_out_ns + 2048


def test_a_connection_that_is_returned_while_it_is_busy_is_busy_no_longer() -> None:
    out: list[Any] = []
    statements = Statements(lambda: out.pop().close())
    out.append(statements.engine.raw_connection())
    caller = Connection(statements.engine, connection=out[0])
    caller.exec_driver_sql("SELECT 1")
    assert (statements.seen, statements.busy) == ([1, 0], 0)
    statements.meanwhile = lambda: None
    with statements.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert (statements.seen[2:], statements.busy) == ([1, 1], 0)


def test_a_connection_that_is_invalidated_while_it_is_busy_is_busy_no_longer() -> None:
    statements = Statements(lambda: caller.invalidate())
    caller = statements.engine.connect()
    caller.exec_driver_sql("SELECT 1")
    assert (statements.seen, statements.busy) == ([1, 0], 0)
    caller.close()


def test_a_detached_connection_is_not_busy() -> None:
    statements = Statements()
    with statements.engine.connect() as connection:
        connection.detach()
        connection.exec_driver_sql("SELECT 1")
    assert statements.seen == [0, 0]


def test_callers_that_share_a_connection_keep_one_connection_busy() -> None:
    driver = StubDriver()
    engine = build_engine(metrics_class(StaticPool), driver)
    seen = []
    with engine.connect() as first, engine.connect() as second:

        def look() -> None:
            seen.append(read_pool(engine).busy)
            if len(seen) == 1:
                second.exec_driver_sql("SELECT 1")
                seen.append(read_pool(engine).busy)

        driver.on_execute = look
        first.exec_driver_sql("SELECT 1")
    assert (seen, read_pool(engine).busy) == ([1, 1, 1], 0)


def test_a_killed_greenlet_leaves_nothing_busy() -> None:
    """As gevent kills one: GreenletExit is raised where it waits for the server."""
    parent = greenlet.getcurrent()
    statements = Statements(lambda: parent.switch())

    def work() -> None:
        with statements.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    caller = greenlet.greenlet(work)
    caller.switch()
    assert statements.busy == 1
    caller.throw()
    assert statements.busy == 0
    assert read_failures(statements.engine) == {"cancelled": 1}


def test_a_pool_that_is_renamed_while_it_is_busy_stays_busy() -> None:
    statements = Statements(lambda: instrument(statements.engine, name="renamed"))
    with statements.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert (statements.seen, statements.busy) == ([1, 1], 0)


def test_methods_of_a_dialect_are_wrapped_once(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    instrument(engine)
    wrapped = engine.dialect.do_execute
    instrument(engine, name="again")
    with engine.connect():
        assert engine.dialect.do_execute is wrapped
