"""A row of 64-bit slots in which one pool is counted, and what is told of that pool.

It must not know what the slots are used for beyond which of them may be added up.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from .layout import ADDITIVE_SLOTS, BLOCK_SLOTS
from .snapshot import PoolDescription, Snapshot, read_snapshot

__all__ = ["Row"]


class Row:
    """Where the slots of a block lie, and what is told of its pool; here in private memory."""

    def __init__(self, slots: memoryview | None = None) -> None:
        self.slots = slots or memoryview(bytearray(8 * BLOCK_SLOTS)).cast("Q")
        self.description = PoolDescription()
        self.wake: Callable[[], None] | None = None

    def describe(self, description: PoolDescription) -> None:
        """Replace what is told of the pool."""
        self.description = description

    @property
    def has_counters(self) -> bool:
        """Whether anything was counted."""
        return any(self.slots[:ADDITIVE_SLOTS])

    def note_window(self) -> None:
        """Called at the first event of each window of 4.3 s, under the block's lock."""
        if self.wake is not None:
            self.wake()

    def copy(self, target: Row) -> None:
        """Go on in another row: add the counters to the ones there, and take the rest along."""
        for slot in range(ADDITIVE_SLOTS):
            target.slots[slot] += self.slots[slot]
        for slot in range(BLOCK_SLOTS - 1, ADDITIVE_SLOTS - 1, -1):  # `active` comes last
            target.slots[slot] = self.slots[slot]
        target.describe(self.description)

    def add_to(self, target: Row) -> None:
        """Add only the counters to another row."""
        for slot in range(ADDITIVE_SLOTS):
            target.slots[slot] += self.slots[slot]

    def clear(self) -> None:
        """Make it as if nobody had used it."""
        for slot in range(BLOCK_SLOTS):
            self.slots[slot] = 0

    def read(self) -> Snapshot:
        """What the slots say, which may be in the middle of an event."""
        copy = memoryview(self.slots.tobytes()).cast("Q")
        return read_snapshot(self.description, copy, monotonic_ns())
