"""Start times of operations in flight: connections that are checked out, callers that wait."""

from __future__ import annotations

from collections import deque

from .holder_table import HolderRow
from .layout import (
    ENDED,
    HOLD_SUM,
    PEAK_WINDOWS,
    SLOT,
    TABLE,
    TO_DETAILS,
    WINDOW_SHIFT,
    HistogramSlots,
)
from .slot_buffer import SlotBuffer

__all__ = ["UNLIMITED", "InFlightTable", "end_all"]

UNLIMITED = 1 << 62
"""A level that is never reached."""
_RESERVE = 8
"""Slots that stay free, so that none is reused right after its end, see `layout`."""


class InFlightTable:
    """A table of `layout`, with a slot for the start time of each operation in flight.

    One store begins an operation and one store ends it. The table also keeps the highest level of
    each of the last 16 windows. Operations that find no free slot are only counted.

    The caller holds the block's lock. Free slots are used in turn: if a reader's copy missed the
    end of an operation, the total includes it long before the slot is used again. The table grows
    only as needed, so that readers look at few slots.

    Attributes:
        level: Operations in flight.
        watch_level: The level at which `record_level` has work to do.
        window_end_ns: The time at which `record_level` has work to do.
        free_slots: Indexes of free slots, the longest unused first.
        sum_ns: Total duration of the finished operations. It is stored into its slot and never
            loaded from there.
        has_parts: Whether the total has parts, one for each holder, see `layout`.
    """

    __slots__ = (
        "_capacity",
        "_first",
        "_limit",
        "_overflowed",
        "_peak",
        "_peaks",
        "_sum",
        "_used",
        "free_slots",
        "has_parts",
        "level",
        "sum_ns",
        "watch_level",
        "window_end_ns",
    )  # fmt: skip

    def __init__(self, name: str, peaks: str, histogram: HistogramSlots) -> None:
        region = TABLE.regions[name]
        self._first, self._capacity = region.offset, region.length
        self._overflowed, self._used = SLOT[f"{name}_spilled"], SLOT[f"{name}_used"]
        self._peaks, self._sum = SLOT[peaks], histogram.sum
        self.sum_ns = 0
        self.free_slots: deque[int] = deque()
        self.level = self._peak = self.watch_level = self.window_end_ns = 0
        self._limit = UNLIMITED
        self.has_parts = False

    def set_limit(self, limit: int) -> None:
        """Call `record_level` at this level, too."""
        self._limit = limit
        self.watch_level = 0

    def begin(self, buffer: SlotBuffer, now_ns: int, detail: int = 0) -> int:
        """Store the start of an operation and return its slot, 0 when the table is full.

        `detail` goes into its slot of `held_details`, if the total has parts.
        """
        self.level += 1
        if self.level >= self.watch_level or now_ns >= self.window_end_ns:
            self.record_level(buffer, now_ns)
        if not self.free_slots:
            buffer.slots[self._overflowed] += 1
            return 0
        slot = self.free_slots.popleft()
        if self.has_parts:
            buffer.slots[slot + TO_DETAILS] = detail
        buffer.slots[slot] = now_ns
        return slot

    def end(
        self,
        buffer: SlotBuffer,
        slot: int,
        duration_ns: int,
        now_ns: int,
        row: HolderRow | None = None,
    ) -> None:
        """Free the slot of an operation and add its duration to the total.

        `row` has the part of the total that it belongs to, if the total has parts.
        """
        slots = buffer.slots
        if now_ns >= self.window_end_ns:
            self.record_level(buffer, now_ns)
        self.level -= 1
        # Call nothing until the sum is stored: a finalizer could run there and end another one.
        self.sum_ns = sum_ns = self.sum_ns + duration_ns
        if slot:
            slots[slot] = ENDED | sum_ns
        if row is None:
            slots[self._sum] = sum_ns
        else:
            slots[row.held_slot] = row.held_ns = row.held_ns + duration_ns
        if slot:
            self.free_slots.append(slot)
        else:
            slots[self._overflowed] -= 1

    def resume(self, sum_ns: int) -> None:
        """Continue with the total of another buffer."""
        self.sum_ns = sum_ns
        self.watch_level = 0

    def record_level(self, buffer: SlotBuffer, now_ns: int) -> None:
        """Store the level as the peak of this window; call it before the level falls.

        `now_ns` never runs backwards, because callers read the clock under the lock.
        """
        if now_ns >= self.window_end_ns or self.level > self._peak:
            window = now_ns >> WINDOW_SHIFT
            self._peak = self.level
            buffer.slots[self._peaks + window % PEAK_WINDOWS] = window << WINDOW_SHIFT | self.level
            if now_ns >= self.window_end_ns:
                self.window_end_ns = window + 1 << WINDOW_SHIFT
                buffer.begin_window()
        enough_until = self._grow(buffer)
        self.watch_level = min(self._peak + 1, enough_until + 1, self._limit)

    def _grow(self, buffer: SlotBuffer) -> int:
        """Use more slots when few are free; return the highest level for which they suffice."""
        used = buffer.slots[self._used]
        if self.level > used - _RESERVE and used < self._capacity:
            more = min(2 * _RESERVE, self._capacity - used)
            self.free_slots.extend(range(self._first + used, self._first + used + more))
            buffer.slots[self._used] = used = used + more
        return used - _RESERVE if used < self._capacity else UNLIMITED


def end_all(buffer: SlotBuffer, table: str, total: int, now_ns: int) -> None:
    """End all operations in a table of a buffer that nobody writes to any more.

    A counter must not fall below what it has shown: each one ends in one store, see `layout`.
    """
    slots, region, holders = buffer.slots, TABLE.regions[table], buffer.holders
    total_ns = buffer.read_additive()[total]
    for slot in range(region.offset, region.offset + region.length):
        if 0 < slots[slot] < ENDED:
            duration_ns = now_ns - slots[slot]
            total_ns += duration_ns
            slots[slot] = ENDED | total_ns
            if total == HOLD_SUM:
                row = holders.find_row(slot)
                row.held_ns += duration_ns
                slots[row.held_slot] += duration_ns
            else:
                slots[total] = total_ns
