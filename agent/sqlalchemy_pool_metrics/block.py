"""The counters of one pool in one process, over private memory or any other row of 64-bit slots.

It must not know of SQLAlchemy: it is told what happened, in monotonic nanoseconds.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import replace
from operator import add, sub
from time import monotonic_ns
from typing import Any

from .layout import (
    ACTIVE,
    ADDITIVE_SLOTS,
    BLOCK_SLOTS,
    CHECKED_IN,
    ENDED,
    HISTOGRAM_SLOTS,
    SLOT,
    TABLE,
)
from .row import Row
from .snapshot import PoolDescription, Snapshot
from .start_table import UNLIMITED, StartTable

__all__ = ["Block"]

_SATURATED_NS = SLOT["saturated_ns"]
_SATURATED = TABLE.regions["saturated"]
_CHECKOUT, _WAIT, _CONNECT, _HOLD = (
    HISTOGRAM_SLOTS[name] for name in ("checkout", "wait", "connect", "hold")
)
CHECKOUT_FIRST, CHECKOUT_SUM, CHECKOUT_BOUNDS_NS = _CHECKOUT
HOLD_FIRST, HOLD_SUM, HOLD_BOUNDS_NS = _HOLD


def _build_quick(lock: Any) -> Any:
    """The same lock for `with`, a third cheaper: what is entered need not be bound first."""
    names = {"__slots__": (), "__enter__": lock.acquire, "__exit__": lock.__exit__}
    return type("QuickLock", (), names)()


class Block:
    """Counts what happens to one pool in one process.

    Threads: whoever calls a method but `read` and `move` holds the lock. It is an RLock because the
    garbage collector can return a leaked connection, and so record it, in the very thread that is
    inside the lock; a plain Lock would then deadlock the application. Between the load and the
    store of a slot nothing is called, so that such a re-entry loses no count.

    `checkouts` and `holds` are what the first buckets of their histograms hold, `checkout_ns` the
    sum: they are only stored into their slots, never loaded. What happens at every checkout and
    return is written out in `recorder`.
    """

    def __init__(self, description: PoolDescription, lock: Any = None) -> None:
        self.lock = lock or threading.RLock()
        self.quick_lock = _build_quick(self.lock)
        self.row = Row()
        self.slots = self.row.slots
        self.held = StartTable("held", "checked_out_peaks", _HOLD)
        self.waiting = StartTable("waiting", "pending_peaks", _WAIT)
        self.checkout_ns = self.checkouts = self.holds = 0
        self.idle = self.users = 0
        self._inherited = [0] * ADDITIVE_SLOTS
        self._saturations = 0
        self.saturated_since = 0
        self.slots[ACTIVE] = 1
        self.describe(description)

    def __repr__(self) -> str:
        return (
            f"<Block {self.description.name!r} checked_out={self.held.level} "
            f"checked_in={self.idle} pending={self.waiting.level}>"
        )

    @property
    def description(self) -> PoolDescription:
        """What is told of the pool."""
        return self.row.description

    def successor(self) -> Block:
        """An empty block of the same pool, for a forked child."""
        return Block(self.description)

    def describe(self, description: PoolDescription) -> None:
        """Replace what is told of the pool; its limit counts from now on."""
        self.row.describe(description)
        self.limit = description.max_connections or UNLIMITED
        self.held.set_limit(self.limit)
        self.note_saturation(monotonic_ns())

    def move(self, row: Row) -> None:
        """Go on in another row, adding to the counters that are there already."""
        with self.lock:
            self._inherited = list(map(add, self._inherited, row.slots[:ADDITIVE_SLOTS]))
            self.row.copy(row)
            self.row, self.slots = row, row.slots
            self._resume()

    def part(self) -> Row:
        """Go on in private memory from zero, with what is out still out; returns the row till now.

        Its counters are left as they are, and it is of a pool that is gone.
        """
        with self.lock:
            left, row = self.row, Row()
            row.describe(left.description)
            row.wake = left.wake
            for slot in range(ADDITIVE_SLOTS, BLOCK_SLOTS):
                value = left.slots[slot]
                row.slots[slot] = value if value < ENDED else 0
            left.slots[ACTIVE] = 0
            self.row, self.slots = row, row.slots
            self._inherited = [0] * ADDITIVE_SLOTS
            self._resume()
            return left

    def _resume(self) -> None:
        self.checkout_ns = self.slots[CHECKOUT_SUM]
        self.checkouts, self.holds = self.slots[CHECKOUT_FIRST], self.slots[HOLD_FIRST]
        self.held.resume(self.row)
        self.waiting.resume(self.row)

    def begin_use(self) -> None:
        """One more recorder records here."""
        with self.lock:
            self.users += 1

    def end_use(self) -> None:
        """A recorder is gone. After the last one only the counters mean something."""
        with self.lock:
            self.users -= 1
            if not self.users:
                self.slots[ACTIVE] = 0

    def add(self, counter: str) -> None:
        """Add 1 to one of layout.COUNTERS."""
        self.slots[SLOT[counter]] += 1

    def change_idle(self, change: int) -> None:
        """Live idle connections came or went."""
        self.idle += change
        self.slots[CHECKED_IN] = self.idle

    def record_checkout(self, duration_ns: int, now_ns: int) -> int:
        """Count a checkout that took `duration_ns`; the result is to be given back on return."""
        self.record_shared_checkout(duration_ns)
        slot = self.held.begin(self.row, now_ns)
        self.note_saturation(now_ns)
        return slot

    def record_shared_checkout(self, duration_ns: int) -> None:
        """Count a checkout of a connection that is out already."""
        slots = self.slots
        slots[CHECKOUT_FIRST + bisect_left(CHECKOUT_BOUNDS_NS, duration_ns)] += 1
        self.checkouts = slots[CHECKOUT_FIRST]
        slots[CHECKOUT_SUM] = self.checkout_ns = self.checkout_ns + duration_ns

    def record_return(self, slot: int, since_ns: int, now_ns: int) -> None:
        """Count the end of a checkout that began at `since_ns`."""
        slots, duration_ns = self.slots, now_ns - since_ns
        slots[HOLD_FIRST + bisect_left(HOLD_BOUNDS_NS, duration_ns)] += 1
        self.holds = slots[HOLD_FIRST]
        self.held.end(self.row, slot, duration_ns, now_ns)
        if self.saturated_since:
            self.note_saturation(now_ns)

    def record_adopted(self, now_ns: int) -> int:
        """Take over a connection that was checked out before anybody counted."""
        return self.held.begin(self.row, now_ns)

    def record_wait_begin(self, now_ns: int) -> int:
        """Count a caller that blocks on the empty queue from now on."""
        return self.waiting.begin(self.row, now_ns)

    def record_wait_end(self, slot: int, since_ns: int, now_ns: int) -> None:
        """Count the end of a wait, whether it got a connection or not."""
        duration_ns = now_ns - since_ns
        self.slots[_WAIT.first + bisect_left(_WAIT.bounds_ns, duration_ns)] += 1
        self.waiting.end(self.row, slot, duration_ns, now_ns)

    def record_open(self, duration_ns: int) -> None:
        """Count a connection that the driver opened."""
        first, total, bounds_ns = _CONNECT
        self.slots[first + bisect_left(bounds_ns, duration_ns)] += 1
        self.slots[total] += duration_ns

    def read(self) -> Snapshot:
        """What this pool does now, consistent in itself; what its row had before is left out."""
        with self.lock:
            snapshot, inherited = self.read_row(), self._inherited
        return replace(snapshot, additive=tuple(map(sub, snapshot.additive, inherited)))

    def read_row(self) -> Snapshot:
        """What is in the row now, consistent in itself."""
        with self.lock:
            return self.row.read()

    def note_saturation(self, now_ns: int) -> None:
        """Begin or end the time with every allowed connection out."""
        slots, since = self.slots, self.saturated_since
        saturated = self.held.level >= self.limit
        if saturated and not since:
            self._saturations += 1
            self.saturated_since = now_ns
            slots[_SATURATED.offset + self._saturations % _SATURATED.length] = now_ns
        elif since and not saturated:
            total = slots[_SATURATED_NS] + now_ns - since
            slots[_SATURATED.offset + self._saturations % _SATURATED.length] = ENDED | total
            slots[_SATURATED_NS] = total
            self.saturated_since = 0
