"""Every gauge and counter agrees with the driver after each step of random sequences."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Connection, event, exc
from sqlalchemy.util.concurrency import greenlet_spawn

from sqlalchemy_pool_metrics import (
    MetricsAsyncAdaptedQueuePool,
    MetricsQueuePool,
    Snapshot,
    holder,
    read_pool,
)
from sqlalchemy_pool_metrics.layout import (
    CHECKOUT_FAILURE_REASONS,
    CLOSE_REASONS,
    FAILURE_REASONS,
)
from tests.agent.stub_driver import StubDriver, StubError, build_engine, queued_records

SIZE, OVERFLOW = 2, 1
AGE = 10_000
PICK = st.integers(min_value=0, max_value=SIZE + OVERFLOW)


class SyncPool(RuleBasedStateMachine):
    """Drives a pool of 2 + 1 connections and keeps its own account of the right numbers."""

    pool_class: Any = MetricsQueuePool

    def __init__(self) -> None:
        super().__init__()
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it logs what we provoke
        self.driver = StubDriver()
        self.engine = build_engine(
            self.pool_class,
            self.driver,
            pool_size=SIZE,
            max_overflow=OVERFLOW,
            timeout=0.001,
            recycle=AGE,
            pre_ping=True,
        )
        self.disconnects = False
        event.listen(self.engine.pool, "checkout", self._on_checkout)
        self.held: list[Any] = []
        self.held_by: list[str] = []
        self.holds: Counter[str] = Counter()
        self.detached: list[Any] = []
        self.abandoned: list[tuple[weakref.ref[Any], int]] = []
        self.checkouts = 0
        self.returned = 0
        self.leaks: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.invalidations: Counter[str] = Counter()
        self.failed_statements: Counter[str] = Counter()
        self.least_busy_ns: Counter[str] = Counter()
        self.most_busy_ns: Counter[str] = Counter()

    # -- what differs between threads and asyncio

    def call(self, work: Callable[[], Any]) -> Any:
        return work()

    def expect_leak(self, connection: Any) -> None:
        self.expect_return(connection)

    # -- steps

    @rule(name=st.sampled_from(["report", "import", ""]))
    def check_out(self, name: str) -> None:
        self.expect_checkout()
        try:
            with holder(name):
                self.held.append(self.call(self.engine.raw_connection))
        except exc.TimeoutError:
            self.failures["timeout"] += 1
        except (StubError, exc.InvalidRequestError):
            self.failures["error"] += 1
        else:
            self.checkouts += 1
            self.held_by.append(name)
            self.holds[name] += 1

    @precondition(lambda self: self.held)
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        connection = self.take(pick)
        self.expect_return(connection)
        self.call(connection.close)

    @precondition(lambda self: self.held)
    @rule(pick=PICK)
    def give_back_but_the_rollback_fails(self, pick: int) -> None:
        connection = self.take(pick)
        connection.dbapi_connection.stuck = True
        self.expect_gone("reset_failed", "hard")
        self.call(connection.close)

    @precondition(lambda self: self.held)
    @rule(pick=PICK)
    def leak(self, pick: int) -> None:
        self.leaks[self.held_by[pick % len(self.held)]] += 1
        connection = self.take(pick)
        self.expect_leak(connection)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exc.SAWarning)
            del connection

    @precondition(lambda self: self.held)
    @rule(pick=PICK, error=st.sampled_from([None, StubError, asyncio.CancelledError]))
    def execute(self, pick: int, error: type[BaseException] | None) -> None:
        self.run_statement(self.held[pick % len(self.held)], error, busy=1)

    @precondition(lambda self: len(self.held) > 1)
    @rule()
    def execute_on_two_connections_at_once(self) -> None:
        first, second, *_ = self.held
        self.run_statement(first, None, 1, lambda: self.run_statement(second, None, 2))

    @rule(close=st.booleans())
    def dispose(self, close: bool) -> None:
        if close:
            self.closed["dispose"] += self.live_idle()
        else:
            self.abandon(self.engine.pool, self.live_idle())
        self.call(lambda: self.engine.dispose(close=close))

    @rule()
    def the_server_drops_every_idle_connection(self) -> None:
        for record in self.queued():
            if record.dbapi_connection:
                record.dbapi_connection.dead = True

    @rule(refuses=st.booleans())
    def the_server_refuses_connections(self, refuses: bool) -> None:
        self.driver.refuses = refuses

    @rule()
    def time_passes(self) -> None:
        for record in self.queued():
            record.starttime -= 2 * AGE

    @rule()
    def a_listener_finds_the_next_connection_unusable(self) -> None:
        self.disconnects = True

    def run_statement(
        self,
        connection: Any,
        error: type[BaseException] | None,
        busy: int,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Execute a statement that may fail; inside it, so many connections are busy."""
        name = self.held_by[self.held.index(connection)]

        def in_the_driver() -> None:
            began_ns = time.monotonic_ns()
            assert read_pool(self.engine).busy == busy
            meanwhile()
            self.least_busy_ns[name] += time.monotonic_ns() - began_ns
            if error is not None:
                raise error("no")

        def work() -> None:
            caller = Connection(self.engine, connection=connection)
            try:
                caller.exec_driver_sql("SELECT 1")
            finally:
                caller.rollback()  # else a cycle with the transaction keeps the connection

        self.driver.on_execute = in_the_driver
        began_ns = time.monotonic_ns()
        try:
            work() if busy > 1 else self.call(work)
        except (exc.DBAPIError, asyncio.CancelledError):
            self.failed_statements["other" if error is StubError else "cancelled"] += 1
        self.most_busy_ns[name] += time.monotonic_ns() - began_ns
        if error is not None:
            gc.collect()  # the frames in its traceback keep the connection
        if error is asyncio.CancelledError:  # SQLAlchemy no longer trusts the connection
            self.take(self.held.index(connection))
            self.expect_gone("invalidated", "hard")

    # -- the account

    def queued(self) -> list[Any]:
        return queued_records(self.engine.pool)

    def is_saturated(self) -> bool:
        pool: Any = self.engine.pool
        return not self.queued() and bool(pool._overflow >= OVERFLOW)

    def live_idle(self) -> int:
        return sum(1 for record in self.queued() if record.dbapi_connection)

    def abandoned_idle(self) -> int:
        return sum(connections for _, connections in self.abandoned)

    def abandon(self, pool: Any, connections: int) -> None:
        """Note that idle connections of a replaced pool stay open until it is collected."""
        self.abandoned.append((weakref.ref(pool), connections))

    def collect_abandoned(self) -> None:
        if not self.abandoned:
            return
        gc.collect()
        gone = [connections for pool, connections in self.abandoned if pool() is None]
        self.abandoned = [entry for entry in self.abandoned if entry[0]() is not None]
        self.closed["dispose"] += sum(gone)

    def take(self, pick: int) -> Any:
        self.held_by.pop(pick % len(self.held))
        return self.held.pop(pick % len(self.held))

    def _on_checkout(self, *_: Any) -> None:
        if self.disconnects:
            self.disconnects = False
            raise exc.DisconnectionError

    def expect_gone(self, reason: str, invalidation: str) -> None:
        self.returned += 1
        self.closed[reason] += 1
        self.invalidations[invalidation] += 1

    def expect_return(self, connection: Any) -> None:
        self.returned += 1
        pool: Any = connection._pool
        if pool is not self.engine.pool:
            self.abandon(pool, 0 if pool._pool.full() else 1)
        if pool._pool.full():
            self.closed["overflow"] += 1

    def expect_checkout(self) -> None:
        """Predict what SQLAlchemy does to the first idle connection, which it may replace."""
        queued = self.queued()
        if self.is_saturated():
            return
        replaced = self.stale_reason(queued[0]) if queued else None
        if replaced:
            self.closed[replaced] += 1
        opens = replaced is not None or not queued or queued[0].dbapi_connection is None
        if opens and self.driver.refuses:
            return
        dead = not opens and queued[0].dbapi_connection.dead
        found_unusable = dead + (self.disconnects and not (dead and self.driver.refuses))
        self.closed["pre_ping"] += found_unusable
        self.invalidations["hard"] += found_unusable
        if found_unusable == 2:  # SQLAlchemy gives up after the second
            self.closed["invalidated"] += 1
            self.invalidations["hard"] += 1

    def stale_reason(self, record: Any) -> str | None:
        if record.dbapi_connection is None:
            return None
        if time.time() - record.starttime > AGE:
            return "recycle"
        if self.engine.pool._invalidate_time > record.starttime:
            return "pool_invalidated"
        if record._soft_invalidate_time > record.starttime:
            return "soft_invalidated"
        return None

    # -- the truth

    @invariant()
    def the_numbers_are_the_truth(self) -> None:
        self.collect_abandoned()
        now: Snapshot = read_pool(self.engine)
        assert now.checked_out == len(self.held)
        idle = self.live_idle() + self.abandoned_idle()
        assert now.checked_in == idle
        assert now.overflow == max(0, len(self.held) + idle - SIZE)
        assert now.checkouts == self.checkouts
        assert now.histogram("hold").count == self.returned
        assert now.connections_opened == self.driver.opened
        assert now.counter("connection_failures_other") == self.driver.failed
        assert now.counter("leaked_connections") == sum(self.leaks.values())
        for reason in CHECKOUT_FAILURE_REASONS:
            assert now.counter(f"checkout_failures_{reason}") == self.failures[reason], reason
        for reason in FAILURE_REASONS:
            failed = self.failed_statements[reason]
            assert now.counter(f"statement_failures_{reason}") == failed, reason
        for kind in ("hard", "soft"):
            assert now.counter(f"invalidations_{kind}") == self.invalidations[kind], kind
        for reason in CLOSE_REASONS:
            assert now.counter(f"connections_closed_{reason}") == self.closed[reason], reason

    @invariant()
    def what_is_open_at_the_driver_is_in_the_pool_or_out(self) -> None:
        self.collect_abandoned()
        now = read_pool(self.engine)
        open_now = self.driver.opened - self.driver.closed - self.driver.lost
        assert open_now == now.checked_out + now.checked_in + len(self.detached)

    @invariant()
    def nothing_waits(self) -> None:
        now = read_pool(self.engine)
        assert now.pending_checkouts == 0
        assert now.histogram("wait").count == self.failures["timeout"] + self.failures["cancelled"]

    @invariant()
    def no_connection_is_busy_between_the_steps(self) -> None:
        now = read_pool(self.engine)
        statements_error_ns = 2048 * 1000
        assert now.busy == 0
        least_ns, most_ns = sum(self.least_busy_ns.values()), sum(self.most_busy_ns.values())
        assert least_ns <= now.busy_ns + statements_error_ns
        assert now.busy_ns <= min(most_ns, now.checked_out_ns) + statements_error_ns
        for each in now.holders:
            name, least_ns = each.name, self.least_busy_ns[each.name]
            most_ns = min(self.most_busy_ns[name], each.held_ns)
            assert least_ns <= each.busy_ns + statements_error_ns, name
            assert each.busy_ns <= most_ns + statements_error_ns, name

    @invariant()
    def integrals_and_ages_agree_with_what_is_out(self) -> None:
        now = read_pool(self.engine)
        assert now.checked_out_peak >= now.checked_out
        assert (now.oldest_checkout_ns > 0) == bool(self.held)
        assert now.checked_out_ns >= now.oldest_checkout_ns

    @invariant()
    def every_connection_and_its_time_has_a_holder(self) -> None:
        now = read_pool(self.engine)
        holders = {each.name: each for each in now.holders}
        holds = {name: each.holds for name, each in holders.items() if each.holds}
        assert holds == {name: number for name, number in self.holds.items() if name}
        for name, each in holders.items():
            assert each.connections == self.held_by.count(name), name
            assert each.leaks == self.leaks[name], name
        time_ns = sum(each.held_ns for each in holders.values())
        if self.holds[""]:
            assert time_ns <= now.checked_out_ns
        else:
            assert time_ns == now.checked_out_ns

    def teardown(self) -> None:
        logging.getLogger("sqlalchemy.pool").setLevel(logging.NOTSET)
        for connections in (self.held, self.detached):
            while connections:
                self.call(connections.pop().close)
        self.call(self.engine.dispose)
        gc.collect()
        assert self.driver.opened == self.driver.closed + self.driver.lost
        assert read_pool(self.engine).checked_out == read_pool(self.engine).checked_in == 0


class AsyncPool(SyncPool):
    """The same steps on an asyncio pool, and tasks that are cancelled while they wait."""

    pool_class = MetricsAsyncAdaptedQueuePool

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        super().__init__()

    def call(self, work: Callable[[], Any]) -> Any:
        return self.loop.run_until_complete(greenlet_spawn(work))

    def expect_leak(self, _: Any) -> None:
        """Expect a termination: the garbage collector cannot reset an asyncio connection."""
        self.returned += 1
        self.closed["leaked"] += 1

    @precondition(lambda self: self.is_saturated())
    @rule()
    def a_task_is_cancelled_while_it_waits(self) -> None:
        self.engine.pool._timeout = 60  # type: ignore[attr-defined]
        self.loop.run_until_complete(self._cancel_a_waiter())
        self.engine.pool._timeout = 0.001  # type: ignore[attr-defined]
        self.failures["cancelled"] += 1

    async def _cancel_a_waiter(self) -> None:
        waiter = asyncio.ensure_future(greenlet_spawn(self.engine.raw_connection))
        await asyncio.sleep(0)
        assert read_pool(self.engine).pending_checkouts == 1
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    def teardown(self) -> None:
        super().teardown()
        self.loop.close()


TestSyncPool = SyncPool.TestCase
TestAsyncPool = AsyncPool.TestCase
EXAMPLES = int(os.environ.get("EXACTNESS_EXAMPLES", "60"))
TestSyncPool.settings = TestAsyncPool.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None
)
