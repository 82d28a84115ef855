"""Every pool class of SQLAlchemy, and a user's own, records what it can know."""

from __future__ import annotations

import copy
import gc
import logging
import threading
from typing import Any

import pytest
from sqlalchemy import create_engine, event, exc, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import (
    AssertionPool,
    AsyncAdaptedQueuePool,
    NullPool,
    Pool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)
from sqlalchemy.util.queue import Full, Queue

from sqlalchemy_pool_metrics import (
    MetricsAsyncAdaptedQueuePool,
    MetricsQueuePool,
    instrument,
    metrics_class,
    read_pool,
)
from tests.agent.stub_driver import StubDriver, build_engine

POOL_CLASSES = [QueuePool, NullPool, StaticPool, SingletonThreadPool, AssertionPool]


class OwnPool(QueuePool):
    """A user's subclass with its own behaviour and attribute."""

    handed_out = 0

    def _do_get(self) -> Any:
        self.handed_out += 1
        return super()._do_get()


@pytest.mark.parametrize("pool_class", [*POOL_CLASSES, OwnPool])
def test_checkouts_holds_opens_and_closes_are_counted(pool_class: type[Pool]) -> None:
    driver = StubDriver()
    engine = build_engine(metrics_class(pool_class), driver)
    connection = engine.raw_connection()
    out = read_pool(engine)
    connection.close()
    engine.raw_connection().close()
    back = read_pool(engine)
    engine.dispose()
    disposed = read_pool(engine)

    assert (out.checked_out, out.checked_in, out.oldest_checkout_ns > 0) == (1, 0, True)
    assert (back.checked_out, back.checkouts, back.histogram("hold").count) == (0, 2, 2)
    assert back.connections_opened == driver.opened
    assert back.checked_in == (0 if pool_class is NullPool else 1)
    assert disposed.checked_in == 0
    closed = "overflow" if pool_class is NullPool else "dispose"
    assert disposed.counter(f"connections_closed_{closed}") == driver.closed == driver.opened


@pytest.mark.parametrize(
    ("pool_class", "options", "size", "limit", "waits"),
    [
        (QueuePool, {"pool_size": 3, "max_overflow": 4}, 3, 7, True),
        (QueuePool, {"pool_size": 3, "max_overflow": -1}, 3, None, True),
        (QueuePool, {"pool_size": 0}, None, None, True),
        (AsyncAdaptedQueuePool, {"pool_size": 2, "max_overflow": 0}, 2, 2, True),
        (OwnPool, {"pool_size": 1, "max_overflow": 1}, 1, 2, True),
        (SingletonThreadPool, {"pool_size": 4}, 4, 4, False),
        (StaticPool, {}, 1, 1, False),
        (AssertionPool, {}, 1, 1, False),
        (NullPool, {}, None, None, False),
    ],
)
def test_size_and_limit_are_those_of_the_class(
    pool_class: type[Pool],
    options: dict[str, Any],
    size: int | None,
    limit: int | None,
    waits: bool,
) -> None:
    pool = read_pool(build_engine(metrics_class(pool_class), **options)).pool

    assert (pool.size, pool.max_connections, pool.waits) == (size, limit, waits)
    assert pool.pool_class == pool_class.__name__


def test_a_users_subclass_keeps_its_behaviour() -> None:
    engine = build_engine(metrics_class(OwnPool))
    engine.raw_connection().close()
    pool: Any = engine.pool

    assert isinstance(pool, OwnPool)
    assert pool.handed_out == 1


def test_a_recording_class_is_made_once_and_returned_as_it_is() -> None:
    assert metrics_class(OwnPool) is metrics_class(OwnPool)
    assert metrics_class(QueuePool) is MetricsQueuePool
    assert metrics_class(MetricsQueuePool) is MetricsQueuePool
    assert metrics_class(AsyncAdaptedQueuePool) is MetricsAsyncAdaptedQueuePool


def test_callers_that_share_a_static_connection_count_as_two_checkouts_and_one_connection() -> None:
    engine = build_engine(metrics_class(StaticPool))
    first, second = engine.raw_connection(), engine.raw_connection()
    now = read_pool(engine)
    first.close()
    second.close()

    assert (now.checked_out, now.checkouts, now.connections_opened) == (1, 2, 1)
    assert read_pool(engine).checked_out == 0


def test_a_nested_checkout_in_the_same_thread_does_not_count() -> None:
    engine = build_engine(metrics_class(SingletonThreadPool))
    outer = engine.raw_connection()
    inner = engine.raw_connection()
    nested = read_pool(engine)
    inner.close()
    still_out = read_pool(engine)
    outer.close()

    assert (nested.checked_out, nested.checkouts) == (1, 1)
    assert still_out.checked_out == 1
    assert read_pool(engine).checked_out == 0


def test_each_thread_of_a_singleton_thread_pool_has_a_connection() -> None:
    engine = build_engine(metrics_class(SingletonThreadPool))
    engine.raw_connection().close()
    thread = threading.Thread(target=lambda: engine.raw_connection().close())
    thread.start()
    thread.join()

    assert read_pool(engine).checked_in == read_pool(engine).connections_opened == 2


def test_a_second_checkout_of_an_assertion_pool_is_an_error() -> None:
    engine = build_engine(metrics_class(AssertionPool))
    connection = engine.raw_connection()
    with pytest.raises(AssertionError, match="already checked out"):
        engine.raw_connection()

    assert read_pool(engine).counter("checkout_failures_error") == 1
    assert read_pool(engine).checked_out == 1
    connection.close()


@pytest.mark.parametrize("pool_class", [*POOL_CLASSES, AsyncAdaptedQueuePool, OwnPool])
def test_loggers_keep_their_names(pool_class: type[Pool]) -> None:
    plain: Any = build_engine(pool_class, echo=True).pool
    recording: Any = build_engine(metrics_class(pool_class), echo=True).pool

    assert recording.logger.logger.name == plain.logger.logger.name
    logging.getLogger(plain.logger.logger.name).setLevel(logging.NOTSET)


@pytest.mark.parametrize("pool_class", POOL_CLASSES)
def test_every_class_works_on_a_real_sqlite_file(pool_class: type[Pool], tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    engine = instrument(create_engine(url, poolclass=pool_class), name="shop")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM orders")).scalar() == 0
    now = read_pool(engine)
    engine.dispose()

    assert (now.pool.name, now.checkouts, now.checked_out) == ("shop", 2, 0)
    assert (now.pool.dialect, now.pool.driver) == ("sqlite", "pysqlite")


class OwnQueue(Queue[Any]):
    """A user's queue."""


class OwnQueuePool(QueuePool):
    """A pool with a user's queue."""

    _queue_class = OwnQueue


@pytest.mark.parametrize("pool_class", [QueuePool, AsyncAdaptedQueuePool, OwnPool, OwnQueuePool])
def test_a_returned_connection_without_room_is_closed_as_overflow(pool_class: type[Pool]) -> None:
    driver = StubDriver()
    engine = build_engine(metrics_class(pool_class), driver, pool_size=1, max_overflow=1)
    connections = [engine.raw_connection(), engine.raw_connection()]
    out = read_pool(engine)
    for connection in connections:
        connection.close()
    now = read_pool(engine)

    assert (out.checked_out, out.overflow) == (2, 1)
    assert (now.checked_out, now.checked_in, now.overflow) == (0, 1, 0)
    assert now.counter("connections_closed_overflow") == driver.closed == 1


def test_a_connection_that_a_users_pool_does_not_take_back_is_closed_as_overflow() -> None:
    class Forgetful(QueuePool):
        def _do_return_conn(self, record: Any) -> None:
            record.close()
            self._dec_overflow()

    engine = build_engine(metrics_class(Forgetful))
    engine.raw_connection().close()

    assert read_pool(engine).counter("connections_closed_overflow") == 1


def test_a_connection_for_which_a_users_pool_makes_room_is_not_closed_as_overflow() -> None:
    class Growing(QueuePool):
        def _do_return_conn(self, record: Any) -> None:
            try:
                self._pool.put(record, False)
            except Full:
                self._pool.maxsize += 1
                self._pool.put(record, False)

    engine = build_engine(metrics_class(Growing), pool_size=1, max_overflow=1)
    connections = [engine.raw_connection(), engine.raw_connection()]
    for connection in connections:
        connection.close()
    engine.dispose()

    assert read_pool(engine).counter("connections_closed_dispose") == 2


@pytest.mark.parametrize(("use_lifo", "expected"), [(True, 1), (False, 0)])
def test_the_order_of_the_queue_is_kept(use_lifo: bool, expected: int) -> None:
    engine = build_engine(metrics_class(QueuePool), pool_size=2, use_lifo=use_lifo)
    connections = [engine.raw_connection(), engine.raw_connection()]
    drivers = [connection.dbapi_connection for connection in connections]
    for connection in connections:
        connection.close()

    assert engine.raw_connection().dbapi_connection is drivers[expected]


def test_a_users_recreate_that_names_its_class_does_not_end_the_recording() -> None:
    class Named(QueuePool):
        def recreate(self) -> Any:
            return Named(self._creator, dialect=self._dialect, _dispatch=self.dispatch)

    engine = build_engine(metrics_class(Named))
    engine.raw_connection().close()
    engine.dispose()
    engine.raw_connection().invalidate()

    assert read_pool(engine).checkouts == 2
    assert read_pool(engine).counter("invalidations_hard") == 1


def test_a_users_own_queue_records_its_waits() -> None:
    class Own(QueuePool):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._pool = Queue(self._pool.maxsize)
            self.connect().close()  # before anything records

    engine = build_engine(metrics_class(Own), pool_size=1, max_overflow=0, timeout=0.01)
    connection = engine.raw_connection()
    with pytest.raises(exc.TimeoutError):
        engine.raw_connection()
    connection.close()

    assert read_pool(engine).histogram("wait").count == 1
    assert (read_pool(engine).checked_out, read_pool(engine).checked_in) == (0, 1)


def test_a_copied_pool_connects_when_the_original_is_gone() -> None:
    driver = StubDriver()
    pool = copy.copy(build_engine(metrics_class(NullPool), driver).pool)
    gc.collect()
    pool.connect().close()

    assert driver.opened == driver.closed == 1


def test_a_listener_that_detaches_leaves_a_checkout_and_no_connection_out() -> None:
    engine = build_engine(metrics_class(QueuePool))
    event.listen(engine.pool, "checkout", lambda _dbapi, _record, fairy: fairy.detach())
    engine.raw_connection().close()

    assert (read_pool(engine).checkouts, read_pool(engine).checked_out) == (1, 0)


def test_a_pool_that_two_engines_share_is_counted_after_one_disposed_of_it() -> None:
    engine = build_engine(metrics_class(QueuePool))
    other = Engine(engine.pool, engine.dialect, engine.url)
    engine.raw_connection().close()
    other.dispose()
    engine.raw_connection().close()

    assert read_pool(engine).checked_in == 1


def test_two_successors_of_a_pool_keep_their_connections_apart() -> None:
    engine = build_engine(metrics_class(QueuePool))
    engine.raw_connection().close()
    stray = engine.pool.recreate()
    engine.pool = engine.pool.recreate()
    engine.raw_connection().close()
    assert read_pool(engine).checked_in == 2
    del stray
    gc.collect()

    assert read_pool(engine).checked_in == 1
