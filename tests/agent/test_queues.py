"""Counts stay exact with many threads on a small pool, and waits are what callers waited."""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.queue import Queue

from sqlalchemy_pool_metrics import MetricsQueuePool, instrument, metrics_class, read_pool
from tests.agent.stub_driver import StubDriver, build_engine
from tests.servers.conditions import wait_until

THREADS = 8

CHECKOUTS = 20_000


def run_threads(work: Any) -> None:
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_eight_threads_with_20_000_checkouts_each_are_counted_exactly() -> None:
    driver = StubDriver()
    engine = build_engine(MetricsQueuePool, driver, pool_size=2, max_overflow=1, timeout=60)

    def work() -> None:
        for _ in range(CHECKOUTS):
            engine.raw_connection().close()

    run_threads(work)
    now = read_pool(engine)

    assert now.checkouts == now.histogram("hold").count == THREADS * CHECKOUTS
    assert now.checked_out == now.pending_checkouts == 0
    assert now.connections_opened == driver.opened
    assert now.counter("connections_closed_overflow") == driver.closed
    assert now.checked_in == driver.opened - driver.closed
    assert 1 <= now.checked_out_peak <= 3


def test_a_leak_collected_inside_the_lock_neither_deadlocks_nor_loses_a_count() -> None:
    driver = StubDriver()
    engine = build_engine(MetricsQueuePool, driver, pool_size=3, max_overflow=-1)
    thresholds = gc.get_threshold()
    gc.set_threshold(5)

    def work() -> None:
        for _ in range(300):
            leaked: Any = [engine.raw_connection()]
            leaked.append(leaked)  # only the collector can free it, wherever it happens to run
            del leaked
            engine.raw_connection().close()

    try:
        run_threads(work)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    now = read_pool(engine)

    assert now.counter("leaked_connections") == THREADS * 300
    assert now.checkouts == now.histogram("hold").count == 2 * THREADS * 300
    assert now.checked_out == 0
    assert now.checked_in == driver.opened - driver.closed


def test_a_waiting_caller_is_pending_and_its_wait_is_observed_once() -> None:
    engine = build_engine(MetricsQueuePool, pool_size=1, max_overflow=0, timeout=60)
    connection = engine.raw_connection()
    waiter = threading.Thread(target=lambda: engine.raw_connection().close())
    waiter.start()
    wait_until(lambda: read_pool(engine).pending_checkouts == 1, "a caller that waits")
    waiting = read_pool(engine)
    connection.close()
    waiter.join()
    now = read_pool(engine)

    assert waiting.pending_ns > 0
    assert waiting.histogram("wait").count == 0
    assert now.pending_checkouts == 0
    assert now.pending_checkouts_peak == 1
    assert now.histogram("wait").count == 1
    assert now.pending_ns == pytest.approx(now.histogram("wait").sum_seconds * 1e9)
    assert now.pending_ns >= waiting.pending_ns


def test_a_caller_that_finds_an_idle_connection_at_the_limit_does_not_count_as_waiting() -> None:
    engine = build_engine(MetricsQueuePool, pool_size=1, max_overflow=0, timeout=60)
    for _ in range(3):
        engine.raw_connection().close()

    assert read_pool(engine).histogram("wait").count == 0


def test_a_timeout_is_a_failure_and_a_wait_but_no_checkout() -> None:
    engine = build_engine(MetricsQueuePool, pool_size=1, max_overflow=0, timeout=0.01)
    connection = engine.raw_connection()
    with pytest.raises(exc.TimeoutError):
        engine.raw_connection()
    now = read_pool(engine)

    assert now.counter("checkout_failures_timeout") == 1
    assert now.histogram("wait").count == 1
    assert now.checkouts == 1
    connection.close()


def test_saturated_time_counts_while_it_lasts() -> None:
    engine = build_engine(MetricsQueuePool, pool_size=1, max_overflow=0)
    connection = engine.raw_connection()
    first, second = read_pool(engine), read_pool(engine)
    connection.close()
    third, fourth = read_pool(engine), read_pool(engine)

    assert 0 < first.saturated_ns < second.saturated_ns <= third.saturated_ns
    assert third.saturated_ns == fourth.saturated_ns
    assert first.checked_out_ns < second.checked_out_ns <= third.checked_out_ns
    assert third.checked_out_ns == fourth.checked_out_ns


def test_a_thread_delayed_at_the_lock_corrupts_no_number_and_lowers_none() -> None:
    engine = build_engine(MetricsQueuePool, pool_size=2, max_overflow=0)
    pool: Any = engine.pool
    first = engine.raw_connection()
    with pool._recorder.lock:
        returning = threading.Thread(target=first.close)
        returning.start()
        second = engine.raw_connection()
        out = read_pool(engine)
    returning.join()
    one_left = read_pool(engine)
    second.close()
    end = read_pool(engine)

    assert (out.checked_out, one_left.checked_out, end.checked_out) == (2, 1, 0)
    assert end.checked_in == 2
    assert (
        out.saturated_ns
        <= one_left.saturated_ns
        == end.saturated_ns
        == read_pool(engine).saturated_ns
    )
    assert out.checked_out_ns <= one_left.checked_out_ns <= end.checked_out_ns


def test_no_counter_decreases_while_threads_work() -> None:
    # With a name of its own: engines of earlier tests would make it change, and begin at 0.
    engine = build_engine(
        MetricsQueuePool, pool_size=2, max_overflow=1, timeout=60, logging_name="watched"
    )
    engine.raw_connection().close()  # SQLAlchemy 2.0.36 fails if two threads open the first ones
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    seen: list[tuple[int, int, int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            now = read_pool(engine)
            seen.append((now.checked_out_ns, now.pending_ns, now.saturated_ns))

    def work() -> None:
        for _ in range(500):
            engine.raw_connection().close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run_threads(work)
    finally:
        done.set()
        watcher.join()
        sys.setswitchinterval(interval)

    for integral in zip(*seen, strict=True):
        assert list(integral) == sorted(integral)


class PatientPool(QueuePool):
    """A user's pool that waits for room instead of closing connections beyond its size."""

    patient = True

    def _do_return_conn(self, record: Any) -> None:
        if self.patient:
            self._pool.put(record)
        else:
            super()._do_return_conn(record)


def test_a_blocking_put_is_woken_when_there_is_room() -> None:
    engine = build_engine(metrics_class(PatientPool), pool_size=1, max_overflow=1)
    pool: Any = engine.pool
    first, second = engine.raw_connection(), engine.raw_connection()
    first.close()
    returning = threading.Thread(target=second.close, daemon=True)
    returning.start()
    wait_until(lambda: pool._pool._putters == 1, "a return that waits for room")
    third = engine.raw_connection()
    returning.join(timeout=30)
    woken = not returning.is_alive()
    pool.patient = False
    third.close()

    assert woken
    assert (read_pool(engine).checked_out, read_pool(engine).checked_in) == (0, 1)


def test_a_thread_that_waits_while_the_pool_is_instrumented_gets_its_connection() -> None:
    engine = build_engine(QueuePool, pool_size=1, max_overflow=0, timeout=60)
    held = engine.raw_connection()
    taken: list[Any] = []
    waiter = threading.Thread(target=lambda: taken.append(engine.raw_connection()))
    waiter.start()
    queue: Any = engine.pool._pool  # type: ignore[attr-defined]
    wait_until(lambda: len(queue.not_empty._waiters) == 1, "a caller that waits")
    instrument(engine)
    held.close()
    waiter.join(timeout=30)
    taken.pop().close()
    now = read_pool(engine)

    assert not waiter.is_alive()
    assert (now.checked_out, now.checked_in) == (0, 1)


def test_a_thread_that_is_about_to_wait_while_the_pool_is_instrumented_is_woken() -> None:
    engine = build_engine(QueuePool, pool_size=1, max_overflow=0, timeout=10)
    held = engine.raw_connection()
    queue: Any = engine.pool._pool  # type: ignore[attr-defined]
    taken: list[Any] = []

    def work() -> None:
        with suppress(exc.TimeoutError):
            taken.append(engine.raw_connection())

    waiter = threading.Thread(target=work)
    with queue.mutex:
        waiter.start()
        wait_until(lambda: is_in(waiter, Queue.get), "a caller at the mutex")
        instrument(engine)
    wait_until(lambda: len(queue.not_empty._waiters) == 1, "a caller that waits")
    held.close()
    waiter.join()

    assert len(taken) == 1
    taken.pop().close()


def is_in(thread: threading.Thread, function: Any) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def test_instrumenting_while_threads_work_misses_nothing() -> None:
    for _ in range(20):
        engine = build_engine(QueuePool, pool_size=3, max_overflow=0, timeout=60)

        def work(engine: Any = engine) -> None:
            for _ in range(50):
                engine.raw_connection().close()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        instrument(engine)
        for thread in threads:
            thread.join()
        now = read_pool(engine)
        pool: Any = engine.pool
        assert (now.checked_out, now.checked_in) == (0, pool.checkedin())
