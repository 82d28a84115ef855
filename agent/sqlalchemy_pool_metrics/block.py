"""The counters of one pool in one process, over private memory or any other row of 64-bit slots.

It must not know of SQLAlchemy: it is told what happened, in monotonic nanoseconds.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from time import monotonic_ns

from . import layout
from .layout import (
    CHECKED_IN,
    CHECKED_OUT_PEAKS,
    HELD,
    HELD_SPILLED,
    HISTOGRAM_SLOTS,
    PENDING_PEAKS,
    SATURATED_SINCE,
    SLOT,
    WAITING,
    WAITING_SPILLED,
    WINDOW_SHIFT,
    PoolDescription,
    Snapshot,
)

__all__ = ["Block"]

_SATURATED_NS = SLOT["saturated_ns"]
_CHECKOUT, _WAIT, _CONNECT = (HISTOGRAM_SLOTS[name] for name in ("checkout", "wait", "connect"))
# For the path of every checkout and return: a global is found faster than an attribute of one.
_CHECKOUT_FIRST, _CHECKOUT_SUM, _CHECKOUT_BOUNDS_NS = _CHECKOUT
_HOLD_FIRST, _HOLD_SUM, _HOLD_BOUNDS_NS = HISTOGRAM_SLOTS["hold"]
_CHECKOUT_LOWEST_NS, _HOLD_LOWEST_NS = _CHECKOUT_BOUNDS_NS[0], _HOLD_BOUNDS_NS[0]
_UNLIMITED = 1 << 62


class StartTable:
    """Start times of what is going on now, a slot each, so that one store begins or ends one.

    It also keeps the highest level of each of the last 16 windows, whoever reads and however
    often. Beyond its capacity it only counts: `spilled`. To be used under the block's lock.
    """

    __slots__ = ("_free", "_peak", "_peaks", "_slots", "_spilled", "_window", "level")

    def __init__(
        self, slots: memoryview, first: int, capacity: int, spilled: int, peaks: int
    ) -> None:
        self.level = 0
        self._slots = slots
        self._free = list(range(first + capacity - 1, first - 1, -1))
        self._spilled = spilled
        self._peaks = peaks
        self._peak = 0
        self._window = -1

    def begin(self, now_ns: int) -> int:
        """Take a slot for what begins now; 0 when the table is full."""
        self.level = level = self.level + 1
        if level > self._peak or now_ns >> WINDOW_SHIFT != self._window:
            self._note_peak(now_ns)
        if not self._free:
            self._slots[self._spilled] += 1
            return 0
        slot = self._free.pop()
        self._slots[slot] = now_ns
        return slot

    def end(self, slot: int, now_ns: int) -> None:
        """Give a slot back."""
        if now_ns >> WINDOW_SHIFT != self._window:
            self._note_peak(now_ns)
        self.level -= 1
        if slot:
            self._slots[slot] = 0
            self._free.append(slot)
        else:
            self._slots[self._spilled] -= 1

    def _note_peak(self, now_ns: int) -> None:
        """Store the level as the highest of this window; before a fall, the one it falls from.

        Times come in order, because they are read under the lock.
        """
        self._window = window = now_ns >> WINDOW_SHIFT
        self._peak = self.level
        self._slots[self._peaks + window % layout.PEAK_WINDOWS] = window << 32 | self.level


class Block:
    """Counts what happens to one pool in one process.

    Threads: whoever calls a method but `read` holds the lock. It is an RLock because the garbage
    collector can return a leaked connection, and so record it, in the very thread that is inside
    the lock; a plain Lock would then deadlock the application. Between the load and the store of
    a slot nothing is called, so that such a re-entry loses no count.
    """

    def __init__(self, description: PoolDescription, slots: memoryview | None = None) -> None:
        self.description = description
        self.lock = threading.RLock()
        self.slots = slots or memoryview(bytearray(8 * layout.BLOCK_SLOTS)).cast("Q")
        self._limit = description.max_connections or _UNLIMITED
        self._held = StartTable(
            self.slots, HELD, layout.HELD_CAPACITY, HELD_SPILLED, CHECKED_OUT_PEAKS
        )
        self._waiting = StartTable(
            self.slots, WAITING, layout.WAITING_CAPACITY, WAITING_SPILLED, PENDING_PEAKS
        )

    def __repr__(self) -> str:
        return (
            f"<Block {self.description.name!r} checked_out={self._held.level} "
            f"checked_in={self.slots[CHECKED_IN]} pending={self._waiting.level}>"
        )

    def successor(self) -> Block:
        """An empty block of the same pool, for a forked child."""
        return Block(self.description)

    def describe(self, description: PoolDescription) -> None:
        """Replace what is told of the pool; its limit counts from now on."""
        self.description = description
        self._limit = description.max_connections or _UNLIMITED
        self._note_saturation(monotonic_ns())

    def add(self, counter: str) -> None:
        """Add 1 to one of layout.COUNTERS."""
        self.slots[SLOT[counter]] += 1

    def record_checkout(self, duration_ns: int, now_ns: int) -> int:
        """Count a checkout that took `duration_ns`; the result is to be given back on return."""
        slots, bucket = self.slots, _CHECKOUT_FIRST
        if duration_ns > _CHECKOUT_LOWEST_NS:
            bucket += bisect_left(_CHECKOUT_BOUNDS_NS, duration_ns)
        slots[bucket] += 1
        slots[_CHECKOUT_SUM] += duration_ns
        slot = self._held.begin(now_ns)
        if self._held.level >= self._limit:
            self._note_saturation(now_ns)
        return slot

    def record_shared_checkout(self, duration_ns: int) -> None:
        """Count a checkout of a connection that is out already."""
        self._observe(_CHECKOUT, duration_ns)

    def record_return(self, slot: int, since_ns: int, now_ns: int) -> None:
        """Count the end of a checkout that began at `since_ns`."""
        slots, bucket, duration_ns = self.slots, _HOLD_FIRST, now_ns - since_ns
        if duration_ns > _HOLD_LOWEST_NS:
            bucket += bisect_left(_HOLD_BOUNDS_NS, duration_ns)
        slots[bucket] += 1
        slots[_HOLD_SUM] += duration_ns
        saturated = self._held.level >= self._limit
        self._held.end(slot, now_ns)
        if saturated:
            self._note_saturation(now_ns)

    def record_adopted(self, now_ns: int) -> int:
        """Take over a connection that was checked out before anybody counted."""
        return self._held.begin(now_ns)

    def record_wait_begin(self, now_ns: int) -> int:
        """Count a caller that blocks on the empty queue from now on."""
        return self._waiting.begin(now_ns)

    def record_wait_end(self, slot: int, since_ns: int, now_ns: int) -> None:
        """Count the end of a wait, whether it got a connection or not."""
        self._observe(_WAIT, now_ns - since_ns)
        self._waiting.end(slot, now_ns)

    def record_open(self, duration_ns: int) -> None:
        """Count a connection that the driver opened."""
        self._observe(_CONNECT, duration_ns)

    def read(self) -> Snapshot:
        """A snapshot of this moment, consistent in itself."""
        with self.lock:
            slots = self.slots.tolist()
            now_ns = monotonic_ns()
        return layout.read_snapshot(self.description, slots, now_ns)

    def _observe(self, histogram: layout.HistogramSlots, duration_ns: int) -> None:
        first, total, bounds_ns = histogram
        if duration_ns > bounds_ns[0]:  # nearly every one of a busy pool is in the first bucket
            first += bisect_left(bounds_ns, duration_ns)
        slots = self.slots
        slots[first] += 1
        slots[total] += duration_ns

    def _note_saturation(self, now_ns: int) -> None:
        """Begin or end the time with every allowed connection out."""
        since = self.slots[SATURATED_SINCE]
        saturated = self._held.level >= self._limit
        if saturated and not since:
            self.slots[SATURATED_SINCE] = now_ns
        elif since and not saturated:
            self.slots[_SATURATED_NS] += now_ns - since
            self.slots[SATURATED_SINCE] = 0
