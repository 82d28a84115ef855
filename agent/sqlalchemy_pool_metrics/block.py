"""The counters of one pool in one process.

A block records events with times in monotonic nanoseconds. Its slots lie in private memory or in a
shared file, see `slot_buffer`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import count
from operator import add, sub
from typing import Any

from .clock import monotonic_ns
from .holder_table import HolderRow
from .holders import NAMED
from .in_flight import UNLIMITED, InFlightTable, end_all
from .layout import (
    ACTIVE,
    ADDITIVE_SLOTS,
    BUSY,
    BUSY_ONE,
    BUSY_SINCE,
    BUSY_UNIT_SHIFT,
    CONNECTIONS,
    ENDED,
    HISTOGRAM_SLOTS,
    MOVED_SLOTS,
    SLOT,
    TABLE,
    read_busy,
)
from .slot_buffer import SlotBuffer
from .snapshot import HolderNumbers, PoolDescription, Snapshot

__all__ = ["Block"]

_SATURATED_NS = SLOT["saturated_ns"]
_SATURATED = TABLE.regions["saturated"]
_CHECKOUT, _WAIT, _CONNECT, _HOLD = (
    HISTOGRAM_SLOTS[name] for name in ("checkout", "wait", "connect", "hold")
)
CHECKOUT_FIRST, CHECKOUT_SUM, CHECKOUT_BOUNDS_NS = _CHECKOUT
HOLD_FIRST, HOLD_SUM, HOLD_BOUNDS_NS = _HOLD
_TOTALS = {"held": HOLD_SUM, "waiting": _WAIT.sum, "saturated": _SATURATED_NS}
"""The slot of the total of each table."""

_numbers = count()


def _build_quick_lock(lock: Any) -> Any:
    """Return an object whose `with` takes the same lock in two thirds of the time.

    `with` looks `__enter__` and `__exit__` up on the type. Here it finds builtin methods that are
    bound already, so that it binds nothing.
    """
    names = {"__slots__": (), "__enter__": lock.acquire, "__exit__": lock.__exit__}
    return type("QuickLock", (), names)()


class Block:
    """Counts what happens to one pool in one process.

    The caller holds `lock`, except for the methods that say they take it. The lock is an RLock: the
    garbage collector can return a leaked connection, and so record its return, in the thread that
    is inside the lock. A plain Lock would deadlock the application there; SQLAlchemy's own queue
    uses an RLock for the same reason. Nothing is called between the load and the store of a slot,
    so that such a re-entry loses no count.

    `recorder` has a second copy of the code for the usual checkout and return.

    Attributes:
        lock: Protects the block.
        quick_lock: The same lock, cheaper in a `with` statement.
        buffer: Where the block lies; `slots` are its slots, `holders` its table of holders.
        held: The connections that are out.
        waiting: The callers that wait.
        connections: Live idle connections and those that are out.
        users: Recorders that use this block.
        opening: Connections that the driver is opening.
        is_counted: Whether its engine is among the `engines_created`.
        base_name: The default name without other engines of the database; None for a name that
            somebody gave.
        module: The module that created the engine.
        holder_search: How to find the holder of a checkout.
        number: The order in which blocks are built.
        earlier_checkouts: Checkouts that the block of the parent process had counted at the fork.
        is_placed: Whether the block is in its final buffer, such as one in the shared file.
        is_left_out: Whether it had connections when there was no place for it.
        is_disposed: Whether the pool was disposed of and not used since.
        on_end: Called after the last recorder is gone; None until the pool is registered.
        checkouts: The first bucket of the histogram `checkout`. Like `holds` and `checkout_ns` it
            is stored into its slot and never loaded from there.
        holds: The first bucket of the histogram `hold`.
        checkout_ns: The sum of the histogram `checkout`.
        busy: The slot `busy`, likewise never loaded.
        saturated_since: When the last allowed connection went out, 0 while one is left.
    """

    def __init__(self, description: PoolDescription, lock: Any = None) -> None:
        self.lock = lock or threading.RLock()
        self.quick_lock = _build_quick_lock(self.lock)
        self.buffer = SlotBuffer()
        self.slots, self.holders = self.buffer.slots, self.buffer.holders
        self.held = InFlightTable("held", "checked_out_peaks", _HOLD)
        self.waiting = InFlightTable("waiting", "pending_peaks", _WAIT)
        self.checkout_ns = self.checkouts = self.holds = self.busy = 0
        self.connections = self.users = self.opening = self.earlier_checkouts = 0
        self.number = next(_numbers)
        self.base_name: str | None = None
        self.module = ""
        self.holder_search = NAMED
        self.is_placed = self.is_left_out = self.is_disposed = self.is_counted = False
        self.on_end: Callable[[], None] | None = None
        self._inherited = [0] * ADDITIVE_SLOTS
        self._inherited_holders: Counter[tuple[str, str]] = Counter()
        self._saturations = 0
        self.saturated_since = 0
        self.describe(description)

    def __repr__(self) -> str:
        return (
            f"<Block {self.description.name!r} checked_out={self.held.level} "
            f"checked_in={self.connections - self.held.level} pending={self.waiting.level}>"
        )

    @property
    def description(self) -> PoolDescription:
        """The description of the pool."""
        return self.buffer.description

    def build_successor(self) -> Block:
        """Return an empty block of the same pool, for a forked child."""
        successor = Block(self.description)
        successor.earlier_checkouts = self.count_checkouts()
        successor.base_name, successor.module = self.base_name, self.module
        successor.holder_search = self.holder_search
        return successor

    @property
    def is_in_use(self) -> bool:
        """Whether the pool was used, and not disposed of since; else only its counters count."""
        return bool(self.slots[ACTIVE])

    @property
    def is_vacant(self) -> bool:
        """Whether nothing but counters would be lost if the block left its place.

        A queue pool that lost all connections in an outage is not vacant: its limits still count.
        The engine of a vacant one is perhaps garbage. Engines are reference cycles, and in a large
        program it takes long until the garbage collector finds them.
        """
        is_empty = not (self.connections or self.waiting.level or self.opening)
        return is_empty and (self.is_disposed or not self.is_in_use or not self.description.waits)

    def count_checkouts(self) -> int:
        """Return how many checkouts were counted, including those of a parent process."""
        return self.earlier_checkouts + sum(self.slots[CHECKOUT_FIRST:CHECKOUT_SUM])

    def describe(self, description: PoolDescription) -> None:
        """Replace the description of the pool; its limit applies from now on."""
        self.buffer.describe(description)
        self.limit = description.max_connections or UNLIMITED
        self.held.set_limit(self.limit)
        self.record_saturation(monotonic_ns())

    def move(self, buffer: SlotBuffer) -> None:
        """Continue in another buffer and add to the counters that are there. Takes the lock."""
        with self.lock:
            # Other pools counted there before; read() subtracts their counts.
            self._inherited = list(map(add, self._inherited, buffer.read_additive()))
            self._inherited_holders.update(buffer.holders.count())
            self.buffer.move_to(buffer)
            self.buffer, self.slots, self.holders = buffer, buffer.slots, buffer.holders
            self._resume()

    def absorb(self, buffer: SlotBuffer) -> bool:
        """Add the counters of another buffer, which is no longer read.

        Takes the lock if it is free: the caller may be a finalizer, inside the lock of another
        block. Returns whether it was free.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            self._inherited = list(map(add, self._inherited, buffer.read_additive()))
            self._inherited_holders.update(buffer.holders.count())
            buffer.add_counters_to(self.buffer)
            self._resume()
        finally:
            self.lock.release()
        return True

    def detach(self, *, is_renamed: bool = True) -> SlotBuffer:
        """Continue in private memory with counters of 0, and return the old buffer.

        Connections stay out, and callers keep waiting. The old buffer keeps its counters, like that
        of a dropped pool. If it has another name than the new one, it also keeps the time of what
        is in flight, which the new one has as well. Takes the lock.

        Args:
            is_renamed: Whether `read` starts from 0, too.
        """
        with self.lock:
            old, buffer = self.buffer, SlotBuffer()
            buffer.describe(old.description)
            buffer.on_new_window = old.on_new_window
            for slot in MOVED_SLOTS:
                value = old.slots[slot]
                # An ended entry of a table holds a total of the old buffer: leave it behind.
                buffer.slots[slot] = value if value < ENDED else 0
            old.slots[ACTIVE] = 0
            # Running statements end in the old buffer, and begin in the new one.
            now_ns = monotonic_ns()
            running, old.slots[BUSY] = read_busy(self.busy, now_ns)
            buffer.slots[BUSY] = running * (BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT))
            buffer.slots[BUSY_SINCE] = now_ns
            buffer.holders.take_statements(old.holders, now_ns)
            buffer.holders.take_details(old.holders)
            self.buffer, self.slots, self.holders = buffer, buffer.slots, buffer.holders
            if is_renamed:
                for table, total in _TOTALS.items():
                    end_all(old, table, total, now_ns)
                self._inherited = [0] * ADDITIVE_SLOTS
                self._inherited_holders.clear()
            else:
                self._inherited = list(map(sub, self._inherited, old.read_additive()))
                self._inherited_holders.subtract(old.holders.count())
            self.is_placed = False
            self._resume()
            return old

    def _resume(self) -> None:
        # Numbers that are stored and never loaded continue from their slots in the new buffer.
        self.checkout_ns = self.slots[CHECKOUT_SUM]
        self.checkouts, self.holds = self.slots[CHECKOUT_FIRST], self.slots[HOLD_FIRST]
        self.busy = self.slots[BUSY]
        self.held.resume(self.buffer.read_additive()[HOLD_SUM])
        self.waiting.resume(self.slots[_WAIT.sum])
        self.holders.rows[""].held_ns = self.slots[HOLD_SUM]
        # Parts stay parts in a table without holders: a connection that is idle has the name of its
        # last holder, which only a checkout from a total with parts replaces.
        if not self.holders.is_empty:
            self.held.has_parts = True

    def add_user(self) -> None:
        """Note that another recorder uses this block. Takes the lock."""
        with self.lock:
            self.users += 1

    def remove_user(self) -> None:
        """Note that a recorder is gone; after the last one only counters remain. Takes the lock."""
        with self.lock:
            self.users -= 1
            is_over = not self.users
            if is_over:
                self.slots[ACTIVE] = 0
        if is_over and self.on_end is not None:
            self.on_end()

    def begin_use(self) -> None:
        """Note that the pool is used: only then do its limits count."""
        self.slots[ACTIVE] = 1
        self.is_disposed = False

    def end_use(self) -> None:
        """Note that only the counters of the pool count, until it is used again."""
        self.slots[ACTIVE] = 0

    def end_use_if_disposed(self) -> None:
        """End the use of a pool that was disposed of when its last connection is gone."""
        if self.is_disposed and self.is_vacant:
            self.end_use()

    def add(self, counter: str) -> None:
        """Add 1 to one of layout.COUNTERS."""
        self.slots[SLOT[counter]] += 1

    def count_engine(self) -> None:
        """Count the engine, once; `dispose()` gives it a new pool, but not a new block."""
        if not self.is_counted:
            self.is_counted = True
            self.add("engines_created")

    def change_connections(self, change: int) -> None:
        """Change the number of connections that are idle or out."""
        self.connections += change
        self.slots[CONNECTIONS] = self.connections

    def find_holder(self, holder: str, site: str) -> tuple[HolderRow, int]:
        """Return the row of a holder and the detail of a call site; add what is new.

        The garbage collector may return a connection meanwhile, and the block may move then.
        """
        while True:
            table = self.holders
            found = table.find(holder, site)
            if table is self.holders:
                break
        if not self.held.has_parts:
            # Call nothing until the total has parts: a finalizer could run there and end a hold.
            table.rows[""].held_ns = self.slots[HOLD_SUM]
            self.held.has_parts = True
        return found

    def record_checkout(
        self, duration_ns: int, now_ns: int, row: HolderRow | None = None, detail: int = 0
    ) -> int:
        """Count a checkout that took `duration_ns`; return its slot for `record_return`.

        If it has a holder, `row` is its row, and `detail` goes into the slot of `held_details`.
        """
        if not self.is_in_use:  # with a connection that a parent process opened
            self.begin_use()
            self.count_engine()
        self.record_shared_checkout(duration_ns)
        slot = self.held.begin(self.buffer, now_ns, detail)
        if row is not None:
            self.slots[row.holds_slot] = row.holds = row.holds + 1
        self.record_saturation(now_ns)
        return slot

    def record_shared_checkout(self, duration_ns: int) -> None:
        """Count a checkout of a connection that is already out."""
        slots = self.slots
        # The index is computed before the slot is loaded: no call between load and store.
        slots[CHECKOUT_FIRST + bisect_left(CHECKOUT_BOUNDS_NS, duration_ns)] += 1
        self.checkouts = slots[CHECKOUT_FIRST]
        slots[CHECKOUT_SUM] = self.checkout_ns = self.checkout_ns + duration_ns

    def record_return(self, slot: int, since_ns: int, now_ns: int, holder: str = "") -> None:
        """Count the end of a checkout that began at `since_ns`."""
        slots, duration_ns = self.slots, now_ns - since_ns
        slots[HOLD_FIRST + bisect_left(HOLD_BOUNDS_NS, duration_ns)] += 1
        self.holds = slots[HOLD_FIRST]
        row = self.holders.rows[holder] if self.held.has_parts else None
        self.held.end(self.buffer, slot, duration_ns, now_ns, row)
        if self.saturated_since:
            self.record_saturation(now_ns)

    def record_adopted(self, now_ns: int) -> int:
        """Take over a connection that was checked out before the recording began."""
        self.begin_use()
        self.change_connections(1)
        return self.held.begin(self.buffer, now_ns)

    def record_wait_begin(self, now_ns: int) -> int:
        """Count a caller that now blocks on the empty queue; return its slot."""
        return self.waiting.begin(self.buffer, now_ns)

    def record_wait_end(self, slot: int, since_ns: int, now_ns: int) -> None:
        """Count the end of a wait, with or without a connection."""
        duration_ns = now_ns - since_ns
        self.slots[_WAIT.first + bisect_left(_WAIT.bounds_ns, duration_ns)] += 1
        self.waiting.end(self.buffer, slot, duration_ns, now_ns)

    def begin_statement(self, now_ns: int) -> None:
        """Count a connection that executes a statement from now on."""
        slots = self.slots
        slots[BUSY_SINCE] = now_ns  # first, see `layout`
        slots[BUSY] = self.busy = self.busy + BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)

    def end_statement(self, now_ns: int) -> None:
        """Count the end of a statement."""
        self.slots[BUSY] = self.busy = self.busy - BUSY_ONE + (now_ns >> BUSY_UNIT_SHIFT)

    def record_open(self, duration_ns: int) -> None:
        """Count a connection that the driver opened."""
        first, total, bounds_ns = _CONNECT
        self.slots[first + bisect_left(bounds_ns, duration_ns)] += 1
        self.slots[total] += duration_ns

    def read(self) -> Snapshot:
        """Return a consistent snapshot, without the counters it inherited. Takes the lock.

        It has the gauges of an unused pool, too.
        """
        with self.lock:
            snapshot, inherited = self.buffer.read(with_gauges=True), self._inherited
            if not (self._inherited_holders or any(inherited)):
                return snapshot
            holders = tuple(map(self._subtract_inherited, snapshot.holders))
        own = tuple(map(sub, snapshot.additive, inherited))
        return snapshot._replace(additive=own, holders=holders)

    def _subtract_inherited(self, holder: HolderNumbers) -> HolderNumbers:
        inherited = self._inherited_holders
        return holder._replace(
            holds=holder.holds - inherited[holder.name, "holds"],
            held_ns=holder.held_ns - inherited[holder.name, "held_ns"],
            leaks=holder.leaks - inherited[holder.name, "leaks"],
            busy_ns=holder.busy_ns - (inherited[holder.name, "busy"] << BUSY_UNIT_SHIFT),
        )

    def read_buffer(self) -> Snapshot:
        """Return a consistent snapshot of the buffer, inherited counters included."""
        with self.lock:
            return self.buffer.read()

    def record_saturation(self, now_ns: int) -> None:
        """Begin or end the time in which every allowed connection is out."""
        slots, since = self.slots, self.saturated_since
        saturated = self.held.level >= self.limit
        if saturated and not since:
            self._saturations += 1
            self.saturated_since = now_ns
            slots[_SATURATED.offset + self._saturations % _SATURATED.length] = now_ns
        elif since and not saturated:
            total = slots[_SATURATED_NS] + now_ns - since
            # The running time becomes part of the total in this store, see `layout`.
            slots[_SATURATED.offset + self._saturations % _SATURATED.length] = ENDED | total
            slots[_SATURATED_NS] = total
            self.saturated_since = 0
