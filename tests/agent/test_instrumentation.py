"""instrument() on engines of any kind, before and after their first use."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, QueuePool, StaticPool

from sqlalchemy_pool_metrics import (
    MetricsQueuePool,
    instrument,
    read_pool,
    read_pools,
)
from tests.agent.stub_driver import StubDriver, build_engine


def test_instrument_returns_the_engine_and_names_its_pool(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")

    assert instrument(engine, name="primary") is engine
    assert read_pool(engine).pool.name == "primary"
    instrument(engine, name="renamed")
    assert read_pool(engine).pool.name == "renamed"


def test_the_default_name_is_the_logging_name_or_the_database() -> None:
    url = "postgresql+psycopg://app:secret@db.example:6432/shop"
    named = instrument(create_engine(url, pool_logging_name="orders"))
    unnamed = instrument(create_engine(url))

    assert read_pool(named).pool.name == "orders"
    assert read_pool(unnamed).pool.name == "shop"


def test_the_description_has_host_and_database_and_no_password() -> None:
    url = "postgresql+psycopg://app:canary@db.example:6432/shop"
    described = read_pool(instrument(create_engine(url))).pool

    assert (described.dialect, described.driver) == ("postgresql", "psycopg")
    assert (described.host, described.port, described.database) == ("db.example", 6432, "shop")
    assert "canary" not in repr(described)


def test_a_pool_class_given_to_create_engine_finds_the_database() -> None:
    url = "postgresql+psycopg://app:canary@db.example:6432/shop"
    described = read_pool(create_engine(url, poolclass=MetricsQueuePool)).pool

    assert (described.name, described.host, described.port) == ("shop", "db.example", 6432)
    assert "canary" not in repr(described)


def test_connections_that_exist_before_are_taken_over() -> None:
    driver = StubDriver()
    engine = build_engine(QueuePool, driver, pool_size=2)
    out, back = engine.raw_connection(), engine.raw_connection()
    back.close()
    instrument(engine)
    before = read_pool(engine)
    out.close()
    after = read_pool(engine)
    engine.dispose()

    assert (before.checked_out, before.checked_in) == (1, 1)
    assert (after.checked_out, after.checked_in, after.checkouts) == (0, 2, 0)
    assert read_pool(engine).counter("connections_closed_dispose") == driver.closed == 2


def test_a_static_connection_that_is_out_before_is_taken_over() -> None:
    engine = build_engine(StaticPool)
    connection = engine.raw_connection()
    instrument(engine)
    before = read_pool(engine).checked_out
    connection.close()

    assert (before, read_pool(engine).checked_out, read_pool(engine).checked_in) == (1, 0, 1)


@pytest.mark.parametrize("end", ["invalidate", "stuck", "detach", "drop"])
def test_a_connection_that_was_taken_over_ends_like_any_other(end: str) -> None:
    engine = build_engine(QueuePool)
    connection: Any = engine.raw_connection()
    instrument(engine)
    assert read_pool(engine).checked_out == 1
    if end == "stuck":
        connection.dbapi_connection.stuck = True
        connection.close()
    elif end != "drop":
        getattr(connection, end)()
    del connection
    gc.collect()

    assert read_pool(engine).checked_out == 0
    assert read_pool(engine).histogram("hold").count == 1


def test_instrumenting_does_not_create_the_asyncio_queue() -> None:
    engine = build_engine(AsyncAdaptedQueuePool)
    instrument(engine)
    pool: Any = engine.pool

    assert "_queue" not in pool._pool.__dict__


def test_a_second_call_without_a_name_keeps_the_first_name() -> None:
    engine = instrument(build_engine(QueuePool), name="primary")
    instrument(engine)

    assert read_pool(engine).pool.name == "primary"


def test_several_threads_may_instrument_the_same_engine() -> None:
    for _ in range(50):
        engine = build_engine(QueuePool)
        threads = [threading.Thread(target=instrument, args=(engine,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.raw_connection().close()
        assert read_pool(engine).connections_opened == 1


def test_opens_and_invalidations_count_after_a_late_start() -> None:
    engine = build_engine(QueuePool, pool_size=1, max_overflow=0, timeout=0.01)
    engine.raw_connection().close()
    instrument(engine)
    engine.raw_connection().invalidate()
    engine.raw_connection().close()

    assert read_pool(engine).connections_opened == 1
    assert read_pool(engine).counter("invalidations_hard") == 1


def test_an_async_engine_records_before_and_after_first_use(tmp_path: Path) -> None:
    async def use() -> None:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path}/shop.db", poolclass=AsyncAdaptedQueuePool
        )
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            instrument(engine, name="shop")
            assert read_pool(engine).checked_out == 1
        async with engine.connect() as connection:
            assert read_pool(engine).checked_out == 1
        assert (read_pool(engine).checkouts, read_pool(engine).checked_in) == (1, 1)
        await engine.dispose()
        assert read_pool(engine).checked_in == 0
        async with engine.connect():
            assert read_pool(engine).checked_out == 1
        await engine.dispose()
        assert read_pool(engine).counter("connections_closed_dispose") == 2

    asyncio.run(use())


def test_engines_made_by_execution_options_share_the_pool() -> None:
    engine = instrument(build_engine(QueuePool))
    optioned: Any = engine.execution_options(isolation_level="AUTOCOMMIT")
    optioned.raw_connection().close()

    assert read_pool(optioned).checkouts == read_pool(engine).checkouts == 1


def test_counters_continue_after_dispose() -> None:
    engine = instrument(build_engine(QueuePool), name="kept")
    engine.raw_connection().close()
    engine.dispose()
    engine.raw_connection().close()

    assert read_pool(engine).checkouts == 2
    assert read_pool(engine).pool.name == "kept"


def test_an_engine_that_is_not_instrumented_cannot_be_read() -> None:
    with pytest.raises(TypeError, match="is not instrumented"):
        read_pool(build_engine(NullPool))


def test_a_pool_that_cannot_be_instrumented_is_logged_and_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fixed(NullPool):
        """A pool whose class cannot be changed."""

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "__class__":
                raise TypeError("__class__ assignment is not supported")
            super().__setattr__(name, value)

    engine = build_engine(Fixed)
    assert instrument(engine) is engine
    engine.raw_connection().close()

    assert caplog.messages == ["instrument() failed, the pool's numbers are wrong from here on"]


def test_pools_of_the_same_name_are_read_as_one() -> None:
    engines = [instrument(build_engine(QueuePool), name="twins") for _ in range(2)]
    for engine in engines:
        engine.raw_connection().close()
    (twins,) = (snapshot for snapshot in read_pools() if snapshot.pool.name == "twins")

    assert (twins.checkouts, twins.checked_in, twins.size) == (2, 2, 10)


def test_a_dropped_engine_leaves_its_counters_and_nothing_else() -> None:
    engine = instrument(build_engine(QueuePool), name="dropped")
    engine.raw_connection().close()
    pool = weakref.ref(engine.pool)
    del engine
    gc.collect()
    (left,) = (snapshot for snapshot in read_pools() if snapshot.pool.name == "dropped")

    assert pool() is None
    assert (left.checkouts, left.checked_in, left.processes, left.size) == (1, 0, 0, None)
    assert left.counter("connections_closed_dispose") == 1


def test_a_thousand_engines_created_and_disposed_leave_one_total() -> None:
    for _ in range(1000):
        engine = instrument(build_engine(QueuePool), name="churn")
        engine.raw_connection().close()
        engine.dispose()
    del engine
    gc.collect()
    totals = [snapshot for snapshot in read_pools() if snapshot.pool.name == "churn"]

    assert [total.checkouts for total in totals] == [1000]


def test_a_new_engine_keeps_its_listeners_and_settings() -> None:
    seen: list[str] = []
    engine = create_engine("sqlite:///:memory:", poolclass=QueuePool, pool_size=3, max_overflow=2)
    event.listen(engine, "connect", lambda *_: seen.append("connect"))
    event.listen(engine.pool, "checkin", lambda *_: seen.append("checkin"))
    before = engine.pool
    instrument(engine, name="kept")
    event.listen(engine.pool, "checkout", lambda *_: seen.append("checkout"))
    engine.connect().close()

    assert type(engine.pool) is MetricsQueuePool
    assert engine.pool is not before
    assert seen == ["connect", "checkout", "checkin"]
    assert read_pool(engine).max_connections == 5


def test_engines_that_share_a_pool_still_share_it() -> None:
    connect: Any = lambda: sqlite3.connect(":memory:")  # noqa: E731 - typed for SQLAlchemy
    pool = QueuePool(connect, pool_size=1, max_overflow=0, timeout=0)
    one, other = (create_engine("sqlite://", pool=pool) for _ in range(2))
    instrument(one)
    instrument(other)

    assert one.pool is other.pool is pool
    with one.connect(), pytest.raises(PoolTimeoutError):
        other.connect()


def test_an_engine_that_was_used_keeps_its_pool() -> None:
    engine = create_engine("sqlite:///:memory:", poolclass=QueuePool)
    with engine.connect():
        before = engine.pool
        instrument(engine)
        assert engine.pool is before
        assert read_pool(engine).checked_out == 1
