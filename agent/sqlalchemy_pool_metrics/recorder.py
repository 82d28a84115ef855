"""Record what happens to the connections of one pool object in the pool's block.

The overrides in `pool` and `queues` and the event listeners in `listeners` call it.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
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
from .clock import monotonic_ns
from .failures.classify import classify
from .faults import log_fault
from .layout import (
    BUSY,
    BUSY_ONE,
    BUSY_SINCE,
    BUSY_UNIT_SHIFT,
    CONNECTIONS,
    ENDED,
    TO_DETAILS,
)
from .snapshot import PoolDescription

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["ConnectionState", "Recorder", "note_overflow"]

_STATE = "_pool_metrics"
# Read at every checkout and return: a global is faster than an index into a tuple.
CHECKOUT_LOWEST_NS, HOLD_LOWEST_NS = CHECKOUT_BOUNDS_NS[0], HOLD_BOUNDS_NS[0]


class ConnectionState:
    """The state of one connection record, kept as an attribute of the record.

    Attributes:
        recorder: The recorder of the pool that the record belongs to.
        live: Whether the record has an open connection that this process opened.
        idle: Whether the record counts as checked in: until its next checkout is recorded.
        since_ns: When it was checked out; 0 when it is not.
        statement_ns: When the statement that it executes began; 0 when it executes none.
        slot: The slot of its start time in the block; 0 for none.
        fairy: SQLAlchemy's weak reference to the caller's proxy, kept during the checkout only.
        holder: Who has it, or had it last; "" if nobody asked.
        closing: Why SQLAlchemy is about to close the connection; None if not known.
    """

    __slots__ = (
        "closing",
        "fairy",
        "holder",
        "idle",
        "live",
        "recorder",
        "since_ns",
        "slot",
        "statement_ns",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, live: bool) -> None:
        self.recorder = recorder
        self.live = live
        self.idle = False
        self.slot = 0
        self.since_ns = self.statement_ns = 0
        self.fairy: ref[Any] | None = None
        self.holder = ""
        self.closing: str | None = None

    def __del__(self) -> None:
        # SQLAlchemy dropped the record without a close event: its pool was replaced or dropped.
        if self.live:
            try:
                self.recorder.record_lost(self)
            except Exception as fault:
                log_fault("recording a lost connection", fault)


def note_overflow(record: Any) -> None:
    """Note that a returned record found no room, so that SQLAlchemy is about to close it."""
    state: ConnectionState | None = getattr(record, _STATE, None)
    if state is not None:  # else its return was not recorded
        state.closing = "overflow"


class _Thread(threading.local):
    """The thread that reads it: the last 32 bits of its native id.

    A forked child, where the id is another one, has new recorders, and so new objects of this kind.
    """

    def __init__(self) -> None:
        self.native_id = threading.get_native_id() & 0xFFFFFFFF


class Recorder:
    """Records the events of one pool object of one process in a block.

    Any thread may call any method. The caller of `record_return` and `adopt` holds `lock`; the
    other methods take it.

    `Engine.dispose()` replaces the pool. The new pool gets its own recorder on the same block, and
    the old recorder is `retired`: its connections stay out until they come back, and are idle then
    until the garbage collector takes the old pool.

    After a fork the pool gets a new recorder on a new block. Records of the old recorder were
    opened by the parent process: the child counts neither their opening nor their closing.

    Attributes:
        inherited: Whether it is the parent process's, and this is a forked child.
    """

    def __init__(self, block: Block, *, retired: bool = False) -> None:
        self.block = block
        self.lock = block.lock
        self.quick_lock = block.quick_lock
        self.retired = retired
        self.inherited = False
        self._pid = os.getpid()
        self._thread = _Thread()
        block.add_user()

    def __del__(self) -> None:
        # A finalizer, so it may run inside any lock, this block's RLock included. In a forked child
        # the old recorder goes because the pool got a new one; the block is the parent's.
        try:
            if os.getpid() == self._pid:
                self.block.remove_user()
        except Exception as fault:
            log_fault("recording the end of a pool", fault)

    def state(self, record: ConnectionPoolEntry) -> ConnectionState:
        """Return the state of a record; create it if the record has none by this recorder."""
        state: ConnectionState | None = getattr(record, _STATE, None)
        if state is not None and state.recorder is self:
            return state
        live = state is None and record.dbapi_connection is not None
        if state is not None:
            state.live = False
        state = ConnectionState(self, live)
        setattr(record, _STATE, state)
        return state

    def describe(self, description: PoolDescription) -> None:
        """Replace the description of the pool."""
        with self.lock:
            self.block.describe(description)

    def count(self, counter: str) -> None:
        """Add 1 to one of layout.COUNTERS."""
        with self.lock:
            self.block.add(counter)

    def record_failure(self, counter: str) -> None:
        """Count a failure. Never raises: the caller of the pool must get the original error."""
        try:
            self.count(counter)
        except Exception as fault:
            log_fault("recording a failure", fault)

    def record_connection_failure(self, error: BaseException) -> None:
        """Count a connection that the driver could not open. Never raises."""
        try:
            self.count(f"connection_failures_{classify(error)}")
        except Exception as fault:
            log_fault("recording a failed connection", fault)

    def begin_open(self) -> Block:
        """Note that the driver is opening a connection; return the block that uses it."""
        with self.lock:
            self.block.begin_use()
            self.block.opening += 1
            return self.block

    def end_open(self, block: Block | None) -> None:
        """Note that the driver has opened a connection, or has failed to. Never raises."""
        if block is None:
            return
        try:
            with block.lock:
                block.opening -= 1
                # Not in begin_open(): the first one is how a pool gets its place and its name.
                block.count_engine()
        except Exception as fault:
            log_fault("recording the end of an opening", fault)

    def record_open(self, record: ConnectionPoolEntry, duration_ns: int) -> None:
        """Count a connection that the driver opened for this record."""
        state = self.state(record)
        with self.lock:
            self.block.record_open(duration_ns)
            state.live = True
            state.closing = None

    def record_checkout(  # noqa: C901 - written out, because it runs at every checkout
        self, record: Any, fairy: PoolProxiedConnection, entered_ns: int
    ) -> None:
        """Count the checkout of a record by a caller that asked for it at `entered_ns`."""
        # Locals and globals instead of attributes, for the same reason.
        try:
            state: ConnectionState = record._pool_metrics
        except AttributeError:
            state = self.state(record)
        if state.recorder is not self:
            state = self.state(record)
        find_holder = self.block.holder_search.find
        found = find_holder() if find_holder is not None else None
        with self.quick_lock:
            now_ns = monotonic_ns()  # under the lock, so that times in a block never run backwards
            if state.since_ns or self.retired:
                self._prepare_unusual_checkout(state)
                if state.since_ns:
                    self._record_shared_checkout(state, fairy, now_ns - entered_ns)
                    return
            block = self.block
            if found is not None:  # before the slots: what is new is added, see Block.find_holder()
                # First: a new thread calls functions here, so that the block may move.
                thread = self._thread.native_id
                holders, (holder, site) = block.holders, found
                try:
                    row = holders.rows[holder]
                    detail = row.details[site] | thread
                except KeyError:
                    row, detail = block.find_holder(holder, site)
                    detail |= thread
            slots, held, duration_ns = block.slots, block.held, now_ns - entered_ns
            if state.idle:
                state.idle = False
            else:
                slots[CONNECTIONS] = block.connections = block.connections + 1
            level = held.level + 1
            if level >= held.watch_level or now_ns >= held.window_end_ns or not held.free_slots:
                if found is not None:
                    state.slot = block.record_checkout(duration_ns, now_ns, row, detail)
                    state.holder = row.name
                else:
                    state.slot = block.record_checkout(duration_ns, now_ns)
                    state.holder = ""
            else:  # the usual case, with both methods written out
                if duration_ns > CHECKOUT_LOWEST_NS:
                    slots[CHECKOUT_FIRST + bisect_left(CHECKOUT_BOUNDS_NS, duration_ns)] += 1
                else:
                    slots[CHECKOUT_FIRST] = block.checkouts = block.checkouts + 1
                slots[CHECKOUT_SUM] = block.checkout_ns = block.checkout_ns + duration_ns
                held.level = level
                state.slot = slot = held.free_slots.popleft()
                if found is not None:
                    slots[slot + TO_DETAILS] = detail
                    slots[row.holds_slot] = row.holds = row.holds + 1
                    state.holder = row.name
                elif held.has_parts:
                    slots[slot + TO_DETAILS] = 0
                    state.holder = ""
                slots[slot] = now_ns
            state.since_ns = now_ns
            state.fairy = record.fairy_ref

    def record_detached_checkout(self, entered_ns: int) -> None:
        """Count a checkout whose connection a listener detached before the caller got it."""
        with self.lock:
            self.block.record_shared_checkout(monotonic_ns() - entered_ns)

    def _prepare_unusual_checkout(self, state: ConnectionState) -> None:
        """Prepare a checkout of a connection that is out, or from a pool that was replaced."""
        if state.idle:
            self._set_idle(state, False)
        if self.retired:
            self.retired = False
            self.block.begin_use()

    def _record_shared_checkout(
        self, state: ConnectionState, fairy: PoolProxiedConnection, duration_ns: int
    ) -> None:
        """Record the checkout of a connection that is already out.

        A nested checkout of the same proxy (SingletonThreadPool) does not count. When several
        callers share a connection (StaticPool), each checkout counts, but only the first hold.
        """
        if state.fairy is None or state.fairy() is not fairy:
            self.block.record_shared_checkout(duration_ns)

    def record_return(self, record: Any) -> None:
        """Record that a record goes back to its pool, also after a checkout that failed.

        The caller holds the lock.
        """
        # Written out like record_checkout(): this runs at every return.
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
            or now_ns >= held.window_end_ns
            or fairy is None
            or fairy() is None
            or state.statement_ns
            or record.dbapi_connection is None
        ):
            self._record_unusual_return(record, state)
            return
        # The usual case, with Block.record_return() written out.
        slots, duration_ns = block.slots, now_ns - since_ns
        if duration_ns > HOLD_LOWEST_NS:
            slots[HOLD_FIRST + bisect_left(HOLD_BOUNDS_NS, duration_ns)] += 1
        else:
            slots[HOLD_FIRST] = block.holds = block.holds + 1
        # ENDED | total first, then the total or its part: see `layout` for a writer killed between.
        held.level -= 1
        held.sum_ns = sum_ns = held.sum_ns + duration_ns
        slots[slot] = ENDED | sum_ns
        if held.has_parts:
            row = block.holders.rows[state.holder]
            slots[row.held_slot] = row.held_ns = row.held_ns + duration_ns
        else:
            slots[HOLD_SUM] = sum_ns
        held.free_slots.append(slot)
        if block.saturated_since:
            block.record_saturation(now_ns)
        state.since_ns, state.fairy, state.idle = 0, None, True

    def begin_statement(self, state: ConnectionState) -> int:
        """Count a connection that executes a statement from now on.

        Returns:
            The time, for `end_statement`; 0 if the statement does not count: the connection is not
            checked out, or it executes one already, for another caller, or the parent process
            checked it out.
        """
        with self.quick_lock:
            now_ns = monotonic_ns()
            if state.statement_ns or not state.since_ns or self.inherited:
                return 0
            state.statement_ns = now_ns
            # Block.begin_statement() written out.
            block = self.block
            slots = block.slots
            slots[BUSY_SINCE] = now_ns
            slots[BUSY] = block.busy = block.busy + BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)
            if state.holder:
                block.holders.begin_statement(state.holder, now_ns)
        return now_ns

    def end_statement(self, state: ConnectionState, since_ns: int) -> None:
        """Count the end of a statement, unless the end of the checkout did."""
        with self.quick_lock:
            if state.statement_ns == since_ns:
                state.statement_ns = 0
                now_ns, block = monotonic_ns(), self.block
                block.slots[BUSY] = block.busy = block.busy - BUSY_ONE + (now_ns >> BUSY_UNIT_SHIFT)
                if state.holder:
                    block.holders.end_statement(state.holder, now_ns)

    def _record_unusual_return(self, record: ConnectionPoolEntry, state: ConnectionState) -> None:
        reason = self._end_checkout(state) if state.since_ns else "other"
        if record.dbapi_connection is None:
            self._count_closed(state, reason)
            return
        state.closing = None
        if not state.idle:
            self._set_idle(state, True)

    def record_close(self, record: ConnectionPoolEntry, reason: str) -> None:
        """Count a close; a reason that an earlier event left on the state wins over `reason`."""
        state = self.state(record)
        with self.lock:
            self._count_closed(state, state.closing or reason)

    def record_wait_begin(self) -> tuple[int, int]:
        """Count a caller that now blocks on the empty queue.

        Returns:
            Its slot and the time, both for `record_wait_end`.
        """
        with self.lock:
            since_ns = monotonic_ns()
            return self.block.record_wait_begin(since_ns), since_ns

    def record_wait_end(self, slot: int, since_ns: int) -> None:
        """Count the end of a wait, with or without a connection."""
        with self.lock:
            self.block.record_wait_end(slot, since_ns, monotonic_ns())

    def record_lost(self, state: ConnectionState) -> None:
        """Count a record that was garbage-collected with an open connection."""
        if os.getpid() != self._pid:  # in a forked child: the connection belongs to the parent
            return
        with self.lock:
            dropped_with_pool = self.retired or state.idle
            if state.since_ns:
                self._end_checkout(state)
            self._count_closed(state, "dispose" if dropped_with_pool else "other")

    def adopt(self, idle: list[ConnectionPoolEntry], out: list[ConnectionPoolEntry]) -> None:
        """Take over the connections of a pool that was used before it was instrumented.

        The caller holds the lock. Records that were taken or returned since they were listed have
        the right state already.
        """
        for record in idle:
            if not hasattr(record, _STATE) and record.dbapi_connection is not None:
                self.block.begin_use()
                self._set_idle(self.state(record), True)
        for record in out:
            if not hasattr(record, _STATE) and record.in_use:
                state = self.state(record)
                state.since_ns = monotonic_ns()
                state.slot = self.block.record_adopted(state.since_ns)
                state.fairy = record.fairy_ref  # type: ignore[attr-defined]
        if self.block.is_in_use:
            self.block.count_engine()

    def retire(self) -> Recorder:
        """Mark the pool as replaced; return the recorder for the pool that replaces it."""
        with self.lock:
            if not self.retired:
                self.retired = self.block.is_disposed = True
                self.block.end_use_if_disposed()
        return Recorder(self.block)

    def _end_checkout(self, state: ConnectionState) -> str:
        """End a checkout; return the close reason that applies if the connection is gone.

        The caller's proxy is alive when the caller returns or detaches the connection. It is dead
        when the garbage collector returns a leaked one.
        """
        since_ns, fairy, holder, now_ns = state.since_ns, state.fairy, state.holder, monotonic_ns()
        state.since_ns, state.fairy, state.holder = 0, None, ""
        if state.statement_ns:
            state.statement_ns = 0
            self.block.end_statement(now_ns)
            if holder:
                self.block.holders.end_statement(holder, now_ns)
        self.block.record_return(state.slot, since_ns, now_ns, holder)
        self.block.change_connections(-1)
        if fairy is None or fairy() is not None:
            return "detached"
        self.block.add("leaked_connections")
        if holder:
            self.block.holders.add_leak(holder)
        return "leaked"

    def _count_closed(self, state: ConnectionState, reason: str) -> None:
        state.closing = None
        if state.idle:
            self._set_idle(state, False)
        if state.live:
            state.live = False
            self.block.add(f"connections_closed_{reason}")
        self.block.end_use_if_disposed()

    def _set_idle(self, state: ConnectionState, idle: bool) -> None:
        state.idle = idle
        self.block.change_connections(1 if idle else -1)
