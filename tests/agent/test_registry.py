"""The pools of a process: what is kept of those that are gone, and finalizers at bad moments."""

from __future__ import annotations

import gc
import threading
from typing import Any

from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import instrument, read_pools, registry
from sqlalchemy_pool_metrics.registry import Registry
from tests.agent.stub_driver import build_engine


class DisposesWhenCollected:
    """What an application may hold: its finalizer disposes of an engine."""

    def __init__(self) -> None:
        self.engine = instrument(build_engine(QueuePool), name="finalized")
        self.itself = self

    def __del__(self) -> None:
        self.engine.dispose()


def test_reading_survives_finalizers_that_dispose_of_engines() -> None:
    thresholds = gc.get_threshold()
    gc.set_threshold(3)
    try:
        for _ in range(100):
            DisposesWhenCollected()
            assert read_pools()
    finally:
        gc.set_threshold(*thresholds)


def test_a_finalizer_inside_the_lock_of_a_pool_does_not_wait_for_a_reader() -> None:
    engine = instrument(build_engine(QueuePool), name="locked")
    pool: Any = engine.pool
    reader = threading.Thread(target=read_pools)
    gc.disable()
    try:
        DisposesWhenCollected()
        with pool._recorder.lock:
            reader.start()
            reader.join(timeout=0.2)  # it waits for the lock that this thread holds
            collecting = threading.Thread(target=gc.collect)
            collecting.start()
            collecting.join(timeout=30)
            assert not collecting.is_alive()
    finally:
        gc.enable()
    reader.join(timeout=30)

    assert not reader.is_alive()


def test_names_that_come_and_go_are_kept_up_to_a_bound_and_then_together() -> None:
    kept = Registry()
    original, registry.MAX_TOTALS = registry.MAX_TOTALS, 3
    try:
        for number in range(5):
            engine = instrument(build_engine(QueuePool), name=f"tenant{number}")
            engine.raw_connection().close()
            kept.add(engine.pool)  # type: ignore[arg-type]
            del engine
            gc.collect()
        totals = {each.pool.name: each.checkouts for each in kept.read()}
    finally:
        registry.MAX_TOTALS = original

    assert totals == {"tenant0": 1, "tenant1": 1, "tenant2": 1, "dropped": 2}
