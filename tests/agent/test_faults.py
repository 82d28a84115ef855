"""A fault of the recording does not disturb the pool."""

from __future__ import annotations

import gc
import logging
import time
from types import FunctionType
from typing import Any

import pytest
from sqlalchemy import exc
from sqlalchemy.engine import Engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, QueuePool, StaticPool

from sqlalchemy_pool_metrics import MetricsQueuePool, faults, metrics_class, read_pool, recorder
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.recorder import Recorder
from sqlalchemy_pool_metrics.registry import PROCESS
from tests.agent.stub_driver import StubDriver, build_engine


@pytest.fixture
def engine() -> Engine:
    return build_engine(MetricsQueuePool, pool_size=1, max_overflow=1, timeout=0.01)


def use_in_every_way(engine: Engine) -> None:
    """Cover checkout, return, overflow, timeout, invalidation of both kinds, detach, dispose."""
    first, second = engine.raw_connection(), engine.raw_connection()
    with pytest.raises(exc.TimeoutError):
        engine.raw_connection()
    first.invalidate(soft=True)
    first.close()
    second.close()
    engine.raw_connection().invalidate()
    detached = engine.raw_connection()
    detached.detach()
    detached.close()
    engine.dispose()
    first, second = engine.raw_connection(), engine.raw_connection()
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (Recorder, "record_open"),
        (Recorder, "record_checkout"),
        (Recorder, "record_return"),
        (Recorder, "record_close"),
        (Recorder, "retire"),
        (Block, "record_wait_begin"),
        (Block, "record_wait_end"),
        (Block, "add"),
    ],
)
def test_a_fault_of_the_recording_is_logged_once_and_loses_no_connection(
    owner: type, method: str, engine: Engine, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(faults, "_seen", set())
    monkeypatch.setattr(owner, method, make_ours(fail))
    use_in_every_way(engine)
    ours = [r for r in caplog.records if r.name == "sqlalchemy_pool_metrics"]
    logged = [record.getMessage() for record in ours]

    assert logged
    assert len(logged) == len(set(logged))
    assert all(record.exc_info for record in ours)


def fail(*_: Any) -> None:
    raise RuntimeError("the recording is broken")


def make_ours(function: Any) -> Any:
    """Return the function as if it were defined in our package, so that its faults are ours."""
    return FunctionType(function.__code__, {"__name__": "sqlalchemy_pool_metrics.broken"})


class TimeLimitError(Exception):
    """An exception of the application's signal handler."""


class Handler:
    """A signal handler that raises once, in place of a function that our code calls."""

    def __init__(self, fault: type[BaseException] = TimeLimitError) -> None:
        self.faults = [fault]

    def __call__(self) -> int:
        if self.faults:
            raise self.faults.pop()
        return time.monotonic_ns()


POOL_CLASSES = [
    metrics_class(each) for each in (QueuePool, AsyncAdaptedQueuePool, NullPool, StaticPool)
]
# An asyncio pool drops a connection that nobody returns, and SQLAlchemy warns of it.
SYNC_POOL_CLASSES = [each for each in POOL_CLASSES if not issubclass(each, AsyncAdaptedQueuePool)]


def build_small(pool_class: Any, driver: StubDriver | None = None) -> Engine:
    """Build an engine with room for one connection, if the pool class has a size."""
    options = {"pool_size": 1, "max_overflow": 0} if issubclass(pool_class, QueuePool) else {}
    return build_engine(pool_class, driver, **options)


@pytest.mark.parametrize("pool_class", SYNC_POOL_CLASSES)
def test_what_a_signal_handler_raises_in_a_checkout_reaches_the_app_and_loses_no_connection(
    pool_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build_small(pool_class)
    engine.raw_connection().close()
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "monotonic_ns", Handler())
        with pytest.raises(TimeLimitError):
            engine.raw_connection()
    gc.collect()
    engine.raw_connection().close()
    assert read_pool(engine).checked_out == 0


@pytest.mark.parametrize("pool_class", POOL_CLASSES)
def test_what_a_signal_handler_raises_in_a_return_reaches_the_app_and_loses_no_connection(
    pool_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build_small(pool_class)
    connection = engine.raw_connection()
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "monotonic_ns", Handler())
        with pytest.raises(TimeLimitError):
            connection.close()
    del connection
    gc.collect()
    engine.raw_connection().close()


@pytest.mark.parametrize("pool_class", POOL_CLASSES)
def test_an_interrupt_during_the_check_of_the_file_loses_no_connection(
    pool_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build_small(pool_class)
    connection = engine.raw_connection()
    with monkeypatch.context() as patch:
        patch.setattr(PROCESS._sharing, "check", Handler(KeyboardInterrupt))
        PROCESS.request_maintenance()
        with pytest.raises(KeyboardInterrupt):
            connection.close()
    del connection
    gc.collect()
    engine.raw_connection().close()


def test_a_logging_handler_that_raises_does_not_reach_the_app(engine: Engine) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(f"no place to log {record}")

    handler = Broken()
    logger = logging.getLogger("sqlalchemy_pool_metrics")
    logger.addHandler(handler)
    try:
        faults.log_fault("a test", ValueError())
    finally:
        logger.removeHandler(handler)
    assert engine.pool.status()


def test_the_callers_exception_has_no_context_from_the_recording(engine: Engine) -> None:
    held = [engine.raw_connection(), engine.raw_connection()]
    with pytest.raises(exc.TimeoutError) as error:
        engine.raw_connection()

    assert error.value.__context__ is None
    assert len(held) == 2
