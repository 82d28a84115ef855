"""The pools of a process: counters of dropped pools, and finalizers at bad moments."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import (
    instrument,
    read_pool,
    read_pools,
)
from sqlalchemy_pool_metrics.registry import PROCESS, Registry
from tests.agent.stub_driver import build_engine


class DisposesWhenCollected:
    """An object of an application whose finalizer disposes of an engine."""

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


def test_pools_that_come_and_go_are_kept_up_to_a_bound_and_then_merged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_metrics.block_store.MAX_DROPPED_POOLS", 3)
    kept = Registry()
    monkeypatch.setattr("sqlalchemy_pool_metrics.pool.PROCESS", kept)
    for number in range(5):
        engine = instrument(build_engine(QueuePool), name=f"tenant{number}")
        engine.raw_connection().close()
        del engine
        gc.collect()
    totals = {each.pool.name: each.checkouts for each in kept.read()}

    assert len(totals) == 3
    assert totals["dropped"] == 3


def test_maintenance_is_due_once_a_window_however_many_pools_begin_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry()
    monkeypatch.setattr("sqlalchemy_pool_metrics.pool.PROCESS", registry)
    engines = [instrument(build_engine(QueuePool), name=name) for name in ("one", "two")]
    for engine in engines:
        engine.raw_connection().close()
    due = []
    for window in (1, 2):
        monkeypatch.setattr(
            "sqlalchemy_pool_metrics.registry.monotonic_ns", lambda at=window << 32: at
        )
        for engine in engines:
            registry.run_maintenance()
            engine.pool._recorder.block.buffer.begin_window()  # type: ignore[attr-defined]
            due.append(not registry.up_to_date[0])

    assert due == [True, False, True, False]


def test_an_engine_created_again_continues_the_counters_of_the_one_before() -> None:
    engine = instrument(build_engine(QueuePool), name="created again")
    engine.raw_connection().close()
    del engine
    gc.collect()
    engine = instrument(build_engine(QueuePool), name="created again")
    engine.raw_connection().close()

    (total,) = [each for each in read_pools() if each.pool.name == "created again"]
    assert (total.engines, total.checkouts, total.checked_in) == (1, 2, 1)
    assert total.counter("engines_created") == 2
    assert read_pool(engine).checkouts == 1


def test_an_engine_counts_from_its_first_use_and_once() -> None:
    engine = instrument(build_engine(QueuePool), name="counted")
    assert read_pool(engine).counter("engines_created") == 0
    for _ in range(2):
        engine.raw_connection().close()
        engine.dispose()
    assert read_pool(engine).counter("engines_created") == 1


def test_an_engine_counts_under_the_name_that_tells_it_apart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    engines = [create_engine(url, pool_size=size) for size in (5, 3)]
    for engine in engines:
        instrument(engine)
        engine.raw_connection().close()

    pools = [each for each in read_pools() if each.pool.database == f"{tmp_path}/shop.db"]
    assert [(each.engines, each.counter("engines_created")) for each in pools] == [(1, 1)] * 2


@pytest.mark.parametrize("lock", ["_lock", "instrumenting"])
def test_a_finalizer_that_disposes_of_an_engine_waits_for_no_registry_lock(
    lock: str,
) -> None:
    """Its thread may hold a pool's lock, for which a holder of the registry's lock waits."""
    engine = instrument(build_engine(QueuePool))
    engine.raw_connection().close()
    disposing = threading.Thread(target=engine.dispose)
    with getattr(PROCESS, lock):
        disposing.start()
        disposing.join(10)
        was_blocked = disposing.is_alive()
    disposing.join()

    assert not was_blocked
