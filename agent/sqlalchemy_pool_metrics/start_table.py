"""The slots of what is going on now: connections that are out, callers that wait.

It knows times and slots, not pools.
"""

from __future__ import annotations

from collections import deque

from .layout import ENDED, PEAK_WINDOWS, SLOT, TABLE, WINDOW_SHIFT, HistogramSlots
from .row import Row

__all__ = ["UNLIMITED", "StartTable"]

UNLIMITED = 1 << 62
"""A level that is never reached."""
_RESERVE = 8
"""Free slots of a table that are left alone for a while after their use, see `layout`."""


class StartTable:
    """Start times of what is going on now, a slot each, so that one store begins or ends one.

    It also keeps the highest level of each of the last 16 windows, whoever reads and however
    often. Beyond its capacity it only counts. To be used under the block's lock. Slots are used in
    turn, so that what a reader's copy missed in one of them is in its total long before it is
    used again; not all of them, so that a reader has few to look at.

    `level` is how many are going on. When it reaches `watch` or the time `until_ns`, there is more
    to do than to take a free slot. `sum_ns` is the total of all that are over, which is only stored
    into its slot, never loaded.
    """

    __slots__ = (
        "_capacity",
        "_first",
        "_limit",
        "_peak",
        "_peaks",
        "_spilled",
        "_sum",
        "_used",
        "free",
        "level",
        "sum_ns",
        "until_ns",
        "watch",
    )  # fmt: skip

    def __init__(self, name: str, peaks: str, histogram: HistogramSlots) -> None:
        region = TABLE.regions[name]
        self._first, self._capacity = region.offset, region.length
        self._spilled, self._used = SLOT[f"{name}_spilled"], SLOT[f"{name}_used"]
        self._peaks, self._sum = SLOT[peaks], histogram.sum
        self.sum_ns = 0
        self.free: deque[int] = deque()
        self.level = self._peak = self.watch = self.until_ns = 0
        self._limit = UNLIMITED

    def set_limit(self, limit: int) -> None:
        """Also watch this level."""
        self._limit = limit
        self.watch = 0

    def begin(self, row: Row, now_ns: int) -> int:
        """Take a slot for what begins now; 0 when the table is full."""
        self.level += 1
        if self.level >= self.watch or now_ns >= self.until_ns:
            self.note_level(row, now_ns)
        return self.take(row, now_ns)

    def take(self, row: Row, now_ns: int) -> int:
        """Store a start time; the level is up already."""
        if not self.free:
            row.slots[self._spilled] += 1
            return 0
        slot = self.free.popleft()
        row.slots[slot] = now_ns
        return slot

    def end(self, row: Row, slot: int, duration_ns: int, now_ns: int) -> None:
        """Give a slot back, and add the duration to those that are over."""
        slots = row.slots
        if now_ns >= self.until_ns:
            self.note_level(row, now_ns)
        self.level -= 1
        # Nothing is called until the sum is stored: a finalizer might come in between.
        self.sum_ns = sum_ns = self.sum_ns + duration_ns
        if slot:
            slots[slot] = ENDED | sum_ns
            slots[self._sum] = sum_ns
            self.free.append(slot)
        else:
            slots[self._sum] = sum_ns
            slots[self._spilled] -= 1

    def resume(self, row: Row) -> None:
        """Go on in another row."""
        self.sum_ns = row.slots[self._sum]
        self.watch = 0

    def note_level(self, row: Row, now_ns: int) -> None:
        """Store the level as the highest of this window; before a fall, the one it falls from.

        Times come in order, because they are read under the lock.
        """
        if now_ns >= self.until_ns or self.level > self._peak:
            window = now_ns >> WINDOW_SHIFT
            self._peak = self.level
            row.slots[self._peaks + window % PEAK_WINDOWS] = window << WINDOW_SHIFT | self.level
            if now_ns >= self.until_ns:
                self.until_ns = window + 1 << WINDOW_SHIFT
                row.note_window()
        room = self._grow(row)
        self.watch = min(self._peak + 1, room + 1, self._limit)

    def _grow(self, row: Row) -> int:
        """Use more of the table when few of its slots are free; up to which level that will do."""
        used = row.slots[self._used]
        if self.level > used - _RESERVE and used < self._capacity:
            more = min(2 * _RESERVE, self._capacity - used)
            self.free.extend(range(self._first + used, self._first + used + more))
            row.slots[self._used] = used = used + more
        return used - _RESERVE if used < self._capacity else UNLIMITED
