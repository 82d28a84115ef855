"""Records what happens to the connections of one pool object into the pool's block.

It knows connection records, not pool classes: the overrides in `pool` and the events in
`listeners` tell it what happened to which record.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Any
from weakref import ref

from .block import Block
from .guard import log_fault

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["ConnectionState", "Recorder"]

_STATE = "_pool_metrics"


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

    Any thread may call any method. After `Engine.dispose()` the new pool has a recorder of its own
    on the same block and this one is `retired`: its connections are still out until they come
    back, but then no longer checked in, since nobody can check them out again. After a fork the
    pool gets a new recorder on a new block; a record that still belongs to the old one was opened
    by the parent, so that neither its opening nor its closing is counted here.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self.retired = False
        self.forked = False
        self._idle = 0
        self._adopted: list[tuple[int, int]] = []

    def state(self, record: ConnectionPoolEntry) -> ConnectionState:
        """The state of a record, made at the first meeting."""
        state: ConnectionState | None = record.__dict__.get(_STATE)
        if state is not None and state.recorder is self:
            return state
        live = state is None and record.dbapi_connection is not None
        if state is not None:
            state.live = False
        met = record.__dict__[_STATE] = ConnectionState(self, live)
        return met

    def record_failure(self, counter: str) -> None:
        """Count a failure while its error is on the way to the caller: nothing may replace it."""
        try:
            self.block.add(counter)
        except Exception as fault:
            log_fault("recording a failure", fault)

    def record_open(self, record: ConnectionPoolEntry, duration_ns: int) -> None:
        """The driver opened a connection for this record."""
        state = self.state(record)
        with self.block.lock:
            self.block.record_open(duration_ns)
            state.live = True
            state.closing = None

    def record_taken(self, record: ConnectionPoolEntry) -> None:
        """The record left the queue of idle ones."""
        state: ConnectionState | None = record.__dict__.get(_STATE)
        if state is not None and state.idle and state.recorder is self:
            with self.block.lock:
                self._set_idle(state, False)

    def record_checkout(
        self, record: ConnectionPoolEntry, fairy: PoolProxiedConnection, entered_ns: int
    ) -> None:
        """A caller that asked at `entered_ns` got this record's connection.

        A nested checkout of the same proxy (SingletonThreadPool) is none; of callers that share
        one connection (StaticPool) each is counted and the first one's hold.
        """
        now_ns = monotonic_ns()
        state: ConnectionState | None = record.__dict__.get(_STATE)
        if state is None or state.recorder is not self:
            state = self.state(record)
        with self.block.lock:
            if state.since_ns:
                if state.fairy is None or state.fairy() is not fairy:
                    self.block.record_shared_checkout(now_ns - entered_ns)
                return
            if state.idle:
                self._set_idle(state, False)
            state.slot = self.block.record_checkout(now_ns - entered_ns, now_ns)
            state.since_ns = now_ns
            state.fairy = record.fairy_ref  # type: ignore[attr-defined]

    def record_return(self, record: ConnectionPoolEntry) -> None:
        """The record goes back to its pool, from a caller or after a checkout that failed."""
        state: ConnectionState | None = record.__dict__.get(_STATE)
        if state is None or state.recorder is not self:
            state = self._state_of_returned(record, state)
        with self.block.lock:
            if record.dbapi_connection is None:
                self._end_without_connection(state)
                return
            if state.since_ns and self._end_checkout(state):
                self.block.add("leaked_connections")
            if not state.idle:
                self._set_idle(state, True)

    def record_close(self, record: ConnectionPoolEntry, reason: str) -> None:
        """The record closes its connection; a reason noted on its state before wins."""
        state = self.state(record)
        with self.block.lock:
            self._count_closed(state, state.closing or reason)

    def record_lost(self, state: ConnectionState) -> None:
        """The record was garbage-collected with its connection open."""
        if self.forked:
            return
        with self.block.lock:
            dropped_with_pool = self.retired or state.idle
            if state.since_ns:
                self._end_checkout(state)
            self._count_closed(state, "dispose" if dropped_with_pool else "other")

    def adopt(self, idle: list[ConnectionPoolEntry], checked_out: int) -> None:
        """Take over the connections of a pool that was in use before it was instrumented."""
        now_ns = monotonic_ns()
        with self.block.lock:
            for record in idle:
                if record.dbapi_connection is not None:
                    self._set_idle(self.state(record), True)
            self._adopted = [
                (self.block.record_adopted(now_ns), now_ns) for _ in range(checked_out)
            ]

    def retire(self) -> Recorder:
        """The recorder of the pool that takes the place of this one's."""
        with self.block.lock:
            self.retired = True
            self.block.set_checked_in(0)
        return Recorder(self.block)

    def _state_of_returned(
        self, record: ConnectionPoolEntry, state: ConnectionState | None
    ) -> ConnectionState:
        met = self.state(record)
        if state is None and self._adopted:
            with self.block.lock:
                met.slot, met.since_ns = self._adopted.pop()
        return met

    def _end_checkout(self, state: ConnectionState) -> bool:
        """True when it was not the caller who gave the connection back: it leaked."""
        self.block.record_return(state.slot, state.since_ns, monotonic_ns())
        state.since_ns = 0
        fairy, state.fairy = state.fairy, None
        return fairy is not None and fairy() is None

    def _end_without_connection(self, state: ConnectionState) -> None:
        """What came back is a record whose connection is closed, detached or never came to be."""
        reason = "other"
        if state.since_ns:
            reason = "leaked" if self._end_checkout(state) else "detached"
            if reason == "leaked":
                self.block.add("leaked_connections")
        self._count_closed(state, reason)

    def _count_closed(self, state: ConnectionState, reason: str) -> None:
        state.closing = None
        if state.idle:
            self._set_idle(state, False)
        if state.live:
            state.live = False
            self.block.add(f"connections_closed_{reason}")

    def _set_idle(self, state: ConnectionState, idle: bool) -> None:
        state.idle = idle
        if not self.retired:
            self._idle += 1 if idle else -1
            self.block.set_checked_in(self._idle)
