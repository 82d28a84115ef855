"""Whatever goes wrong in the recording, the pool works on."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import exc
from sqlalchemy.engine import Engine

from sqlalchemy_pool_metrics import MetricsQueuePool, guard
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.recorder import Recorder
from tests.agent.stub_driver import build_engine


@pytest.fixture
def engine() -> Engine:
    return build_engine(MetricsQueuePool, pool_size=1, max_overflow=1, timeout=0.01)


def use_in_every_way(engine: Engine) -> None:
    """Checkout, return, overflow, timeout, invalidation of both kinds, detach, dispose."""
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
        (Recorder, "record_taken"),
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
    def fail(*_: Any) -> None:
        raise RuntimeError("the recording is broken")

    monkeypatch.setattr(guard, "_seen", set())
    monkeypatch.setattr(owner, method, fail)
    use_in_every_way(engine)
    ours = [r for r in caplog.records if r.name == "sqlalchemy_pool_metrics"]
    logged = [record.getMessage() for record in ours]

    assert logged
    assert len(logged) == len(set(logged))
    assert all(record.exc_info for record in ours)


def test_a_logging_handler_that_raises_does_not_reach_the_app(engine: Engine) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(f"no place to log {record}")

    handler = Broken()
    logger = logging.getLogger("sqlalchemy_pool_metrics")
    logger.addHandler(handler)
    try:
        guard.log_fault("a test of the guard", ValueError())
    finally:
        logger.removeHandler(handler)
    assert engine.pool.status()


def test_what_the_caller_sees_has_no_trace_of_the_recording(engine: Engine) -> None:
    held = [engine.raw_connection(), engine.raw_connection()]
    with pytest.raises(exc.TimeoutError) as error:
        engine.raw_connection()

    assert error.value.__context__ is None
    assert len(held) == 2
