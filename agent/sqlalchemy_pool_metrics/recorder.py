"""Records what happens to the connections of one pool object into the pool's block.

It knows connection records, not pool classes: the overrides in `pool` and the events in
`listeners` tell it what happened to which record.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from time import monotonic_ns
from typing import TYPE_CHECKING, Any
from weakref import ref

from .block import (
    CHECKOUT_BOUNDS_NS,
    CHECKOUT_FIRST,
    CHECKOUT_SUM,
    HOLD_BOUNDS_NS,
    HOLD_FIRST,
    HOLD_SUM,
    Block,
)
from .guard import log_fault
from .layout import CHECKED_IN, ENDED
from .snapshot import PoolDescription

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["ConnectionState", "Recorder"]

_STATE = "_pool_metrics"
# For the path of every checkout and return: a global is found faster than an attribute of one.
CHECKOUT_LOWEST_NS, HOLD_LOWEST_NS = CHECKOUT_BOUNDS_NS[0], HOLD_BOUNDS_NS[0]


class ConnectionState:
    """What is known of one connection record, kept on the record itself.

    `live`: it has an open connection that this process opened. `idle`: it is checked in.
    `since_ns`: when it was checked out, 0 when it is not; `slot` is its place in the block.
    `fairy` is SQLAlchemy's weak reference to the caller's proxy, held no longer than the checkout.
    `closing` is the reason of a close that is about to come.
    """

    __slots__ = ("closing", "fairy", "idle", "live", "recorder", "since_ns", "slot")

    def __init__(self, recorder: Recorder, live: bool) -> None:
        self.recorder = recorder
        self.live = live
        self.idle = False
        self.slot = 0
        self.since_ns = 0
        self.fairy: ref[Any] | None = None
        self.closing: str | None = None

    def __del__(self) -> None:
        # The record is gone and its connection was never closed: its pool was replaced or dropped.
        if self.live:
            try:
                self.recorder.record_lost(self)
            except Exception as fault:
                log_fault("recording a lost connection", fault)


class Recorder:
    """The share of one pool object, in one process, in a block.

    Any thread may call any method; `record_taken` and `record_return` want `lock` to be held. After
    `Engine.dispose()` the new pool has a recorder of its own on the same block and this one is
    `retired`: its connections are still out until they come back, but then no longer checked in,
    since nobody can check them out again. After a fork the pool gets a new recorder on a new block;
    a record that still belongs to the old one was opened by the parent, so that neither its
    opening nor its closing is counted here.
    """

    def __init__(self, block: Block, *, retired: bool = False) -> None:
        self.block = block
        self.lock = block.lock
        self.quick_lock = block.quick_lock
        self.retired = retired
        self._pid = os.getpid()
        self.idle = 0
        block.begin_use()

    def __del__(self) -> None:
        # The pool is gone with all its connections; or, in a child, it has another recorder.
        try:
            if os.getpid() == self._pid:
                self.block.end_use()
        except Exception as fault:
            log_fault("recording the end of a pool", fault)

    def state(self, record: ConnectionPoolEntry) -> ConnectionState:
        """The state of a record, made at the first meeting."""
        state: ConnectionState | None = getattr(record, _STATE, None)
        if state is not None and state.recorder is self:
            return state
        live = state is None and record.dbapi_connection is not None
        if state is not None:
            state.live = False
        met = ConnectionState(self, live)
        setattr(record, _STATE, met)
        return met

    def describe(self, description: PoolDescription) -> None:
        """Replace what is told of the pool."""
        with self.lock:
            self.block.describe(description)

    def count(self, counter: str) -> None:
        """Add 1 to one of layout.COUNTERS."""
        with self.lock:
            self.block.add(counter)

    def record_failure(self, counter: str) -> None:
        """Count a failure while its error is on the way to the caller: nothing may replace it."""
        try:
            self.count(counter)
        except Exception as fault:
            log_fault("recording a failure", fault)

    def record_open(self, record: ConnectionPoolEntry, duration_ns: int) -> None:
        """The driver opened a connection for this record."""
        state = self.state(record)
        with self.lock:
            self.block.record_open(duration_ns)
            state.live = True
            state.closing = None

    def record_taken(self, record: Any) -> None:
        """The record left the queue of idle ones. The caller holds the lock."""
        try:
            state: ConnectionState = record._pool_metrics
        except AttributeError:  # it was in the queue before anybody recorded
            return
        if state.idle and state.recorder is self:
            state.idle = False
            self.idle -= 1
            if not self.retired:
                block = self.block
                block.slots[CHECKED_IN] = block.idle = block.idle - 1

    def record_checkout(self, record: Any, fairy: PoolProxiedConnection, entered_ns: int) -> None:
        """A caller that asked at `entered_ns` got this record's connection."""
        try:
            state: ConnectionState = record._pool_metrics
        except AttributeError:
            state = self.state(record)
        if state.recorder is not self:
            state = self.state(record)
        with self.quick_lock:
            now_ns = monotonic_ns()  # under the lock: times in a block never run backwards
            if state.since_ns or state.idle or self.retired:
                self._prepare_unusual_checkout(state)
                if state.since_ns:
                    self._record_shared_checkout(state, fairy, now_ns - entered_ns)
                    return
            block = self.block
            slots, held, duration_ns = block.slots, block.held, now_ns - entered_ns
            level = held.level + 1
            if level >= held.watch or now_ns >= held.until_ns or not held.free:
                state.slot = block.record_checkout(duration_ns, now_ns)
            else:  # the same, written out
                if duration_ns > CHECKOUT_LOWEST_NS:
                    slots[CHECKOUT_FIRST + bisect_left(CHECKOUT_BOUNDS_NS, duration_ns)] += 1
                else:
                    slots[CHECKOUT_FIRST] = block.checkouts = block.checkouts + 1
                slots[CHECKOUT_SUM] = block.checkout_ns = block.checkout_ns + duration_ns
                held.level = level
                state.slot = slot = held.free.popleft()
                slots[slot] = now_ns
            state.since_ns = now_ns
            state.fairy = record.fairy_ref

    def record_detached_checkout(self, entered_ns: int) -> None:
        """A caller got a connection that a listener detached on the way."""
        with self.lock:
            self.block.record_shared_checkout(monotonic_ns() - entered_ns)

    def _prepare_unusual_checkout(self, state: ConnectionState) -> None:
        """From a pool without a queue, or from one that is in use although it was replaced."""
        if state.idle:
            self._set_idle(state, False)
        if self.retired:
            self.retired = False
            self.block.change_idle(self.idle)

    def _record_shared_checkout(
        self, state: ConnectionState, fairy: PoolProxiedConnection, duration_ns: int
    ) -> None:
        """The connection is out already.

        A nested checkout of the same proxy (SingletonThreadPool) is none; of callers that share
        one connection (StaticPool) each is counted and the first one's hold.
        """
        if state.fairy is None or state.fairy() is not fairy:
            self.block.record_shared_checkout(duration_ns)

    def record_return(self, record: Any) -> None:
        """The record goes back to its pool, from a caller or after a checkout that failed.

        The caller holds the lock.
        """
        try:
            state: ConnectionState = record._pool_metrics
        except AttributeError:
            state = self.state(record)
        if state.recorder is not self:
            state = self.state(record)
        now_ns, since_ns, fairy, block = monotonic_ns(), state.since_ns, state.fairy, self.block
        held, slot = block.held, state.slot
        if (
            not since_ns
            or not slot
            or now_ns >= held.until_ns
            or fairy is None
            or fairy() is None
            or record.dbapi_connection is None
            or self.retired
        ):
            self._record_unusual_return(record, state)
            return
        # The usual case, with Block.record_return written out.
        slots, duration_ns = block.slots, now_ns - since_ns
        if duration_ns > HOLD_LOWEST_NS:
            slots[HOLD_FIRST + bisect_left(HOLD_BOUNDS_NS, duration_ns)] += 1
        else:
            slots[HOLD_FIRST] = block.holds = block.holds + 1
        held.level -= 1
        held.sum_ns = sum_ns = held.sum_ns + duration_ns
        slots[slot] = ENDED | sum_ns
        slots[HOLD_SUM] = sum_ns
        held.free.append(slot)
        if block.saturated_since:
            block.note_saturation(now_ns)
        state.since_ns, state.fairy, state.idle = 0, None, True
        self.idle += 1
        slots[CHECKED_IN] = block.idle = block.idle + 1

    def _record_unusual_return(self, record: ConnectionPoolEntry, state: ConnectionState) -> None:
        lost_as = self._end_checkout(state) if state.since_ns else "other"
        if record.dbapi_connection is None:
            self._count_closed(state, lost_as)
        elif not state.idle:
            self._set_idle(state, True)

    def record_close(self, record: ConnectionPoolEntry, reason: str) -> None:
        """The record closes its connection; a reason noted on its state before wins."""
        state = self.state(record)
        with self.lock:
            self._count_closed(state, state.closing or reason)

    def record_wait_begin(self) -> tuple[int, int]:
        """A caller blocks on the empty queue from now on: (slot, since), to be given back."""
        with self.lock:
            since_ns = monotonic_ns()
            return self.block.record_wait_begin(since_ns), since_ns

    def record_wait_end(self, slot: int, since_ns: int) -> None:
        """The wait is over, whether it got a connection or not."""
        with self.lock:
            self.block.record_wait_end(slot, since_ns, monotonic_ns())

    def record_lost(self, state: ConnectionState) -> None:
        """The record was garbage-collected with its connection open."""
        if os.getpid() != self._pid:  # in a child: the connection is its parent's
            return
        with self.lock:
            dropped_with_pool = self.retired or state.idle
            if state.since_ns:
                self._end_checkout(state)
            self._count_closed(state, "dispose" if dropped_with_pool else "other")

    def adopt(self, idle: list[ConnectionPoolEntry], out: list[ConnectionPoolEntry]) -> None:
        """Take over the connections of a pool that was in use before it was instrumented.

        The caller holds the lock. What moved meanwhile has a state already, and is as it says.
        """
        for record in idle:
            if not hasattr(record, _STATE) and record.dbapi_connection is not None:
                self._set_idle(self.state(record), True)
        for record in out:
            if not hasattr(record, _STATE) and record.in_use:
                state = self.state(record)
                state.since_ns = monotonic_ns()
                state.slot = self.block.record_adopted(state.since_ns)
                state.fairy = record.fairy_ref  # type: ignore[attr-defined]

    def retire(self) -> Recorder:
        """The recorder of the pool that takes the place of this one's."""
        with self.lock:
            if not self.retired:
                self.retired = True
                self.block.change_idle(-self.idle)
        return Recorder(self.block)

    def _end_checkout(self, state: ConnectionState) -> str:
        """Why the connection is gone if it is: the caller detached it, or the collector found it.

        The caller's proxy is alive when it is the caller who gives the connection back.
        """
        since_ns, fairy = state.since_ns, state.fairy
        state.since_ns, state.fairy = 0, None
        self.block.record_return(state.slot, since_ns, monotonic_ns())
        if fairy is None or fairy() is not None:
            return "detached"
        self.block.add("leaked_connections")
        return "leaked"

    def _count_closed(self, state: ConnectionState, reason: str) -> None:
        state.closing = None
        if state.idle:
            self._set_idle(state, False)
        if state.live:
            state.live = False
            self.block.add(f"connections_closed_{reason}")

    def _set_idle(self, state: ConnectionState, idle: bool) -> None:
        state.idle = idle
        change = 1 if idle else -1
        self.idle += change
        if not self.retired:
            self.block.change_idle(change)
