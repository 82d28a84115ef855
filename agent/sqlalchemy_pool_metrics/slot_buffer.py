"""The 64-bit slots of one block in private memory, with the description of its pool."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal

from .clock import monotonic_ns
from .holder_table import HolderTable
from .layout import ACTIVE, ADDITIVE_SLOTS, BLOCK_SLOTS, HOLD_SUM, MOVED_SLOTS
from .slot_reader import read_snapshot
from .snapshot import PoolDescription, Snapshot

__all__ = ["SlotBuffer"]

_FORMAT: Literal["L", "Q"] = "L" if struct.calcsize("L") == 8 else "Q"
"""The format of a slot: unsigned long where it has 64 bits, because CPython needs two thirds of the
instructions of an unsigned long long to store one."""


class SlotBuffer:
    """The memory of one block; a subclass places it in a mapped file.

    Attributes:
        slots: The slots as unsigned 64-bit integers, see `layout`.
        holders: The table of holders in the slots.
        description: The pool that is counted here.
        on_new_window: Called at the first event of each peak window; None until the pool is
            registered.
    """

    def __init__(self, memory: memoryview | None = None) -> None:
        # A cast memoryview stores 8 aligned bytes at once. struct.pack_into() writes zeros first,
        # which a reader in another process can see.
        self.slots = (memory or memoryview(bytearray(8 * BLOCK_SLOTS))).cast(_FORMAT)
        self.holders = HolderTable(self.slots)
        self.description = PoolDescription()
        self.on_new_window: Callable[[], None] | None = None

    def describe(self, description: PoolDescription) -> None:
        """Replace the description of the pool."""
        self.description = description

    @property
    def has_counters(self) -> bool:
        """Whether anything was counted."""
        return any(self.slots[:ADDITIVE_SLOTS])

    def begin_window(self) -> None:
        """Announce the first event of a peak window (4.3 s), under the block's lock."""
        if self.on_new_window is not None:
            self.on_new_window()

    def move_to(self, target: SlotBuffer) -> None:
        """Add the counters to those of `target`, and copy the other slots and the description."""
        self.add_counters_to(target)
        target.holders.take_details(self.holders)
        # Backwards, so that `active` comes last: until then a reader takes the counters alone.
        for slot in reversed(MOVED_SLOTS):
            target.slots[slot] = self.slots[slot]
        target.describe(self.description)

    def add_counters_to(self, target: SlotBuffer) -> None:
        """Add the counters to those of `target`."""
        for slot in range(ADDITIVE_SLOTS):
            target.slots[slot] += self.slots[slot]
        target.holders.add(self.holders)

    def read_additive(self) -> list[int]:
        """Return the counters and histograms; the sum of `hold` has all of its parts."""
        additive: list[int] = self.slots[:ADDITIVE_SLOTS].tolist()
        additive[HOLD_SUM] += self.holders.held_ns
        return additive

    def clear(self) -> None:
        """Set every slot to 0; nobody may read them meanwhile."""
        self.slots[:] = memoryview(bytes(8 * BLOCK_SLOTS)).cast(_FORMAT)
        self.holders = HolderTable(self.slots)

    def read(self, *, with_gauges: bool = False) -> Snapshot:
        """Return a snapshot of the slots; without the block's lock it may split an event.

        Args:
            with_gauges: Whether a pool that is not in use has its gauges, too.
        """
        copy = memoryview(bytearray(self.slots)).cast("Q")
        if with_gauges:
            copy[ACTIVE] = 1
        return read_snapshot(self.description, copy, monotonic_ns())
