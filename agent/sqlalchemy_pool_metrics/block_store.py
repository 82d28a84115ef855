"""Choose the buffer that each pool is counted in, and keep the counters of pools that are gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from .block import Block
from .dead_files import DROPPED, MAX_DROPPED_POOLS
from .process_file import BLOCKS, MappedSlotBuffer, ProcessFile
from .sharing import Sharing
from .slot_buffer import SlotBuffer
from .snapshot import PoolDescription

__all__ = ["MAX_SHARED_POOLS", "BlockStore"]

_SPARE = 1
"""Blocks of the file that stay free, as the target when two others are merged."""
MAX_SHARED_POOLS = BLOCKS - _SPARE
NO_ROOM = "not shared, as this process has more than %d pools or the volume is full: %s"
MAX_NAMED = 10
"""Pools that the log names."""

ListIdentities = Callable[[], Collection[object]]

_logger = logging.getLogger("sqlalchemy_pool_metrics")


class BlockStore:
    """The buffers of one process; for one thread at a time.

    One buffer is kept for each identity of pools that are gone. The next pool of that identity
    continues in it, so that counters never fall while engines come and go. Buffers are merged into
    another one that replaces them in a single store: a reader of the file finds each count once.

    Attributes:
        kept: The buffers of pools that are gone.
    """

    def __init__(self, sharing: Sharing) -> None:
        self.kept: list[SlotBuffer] = []
        self._sharing = sharing
        self._named: set[str] = set()

    def keep(self, buffer: SlotBuffer, list_in_use: ListIdentities) -> None:
        """Keep the buffer of a pool that is gone.

        Args:
            buffer: The buffer.
            list_in_use: Returns the identities of the pools that exist.
        """
        same = [buffer, *(each for each in self.kept if _identity(each) == _identity(buffer))]
        if not buffer.has_counters:
            self._free(buffer)
        elif self._merge(same, buffer.description) is None:
            self.kept.append(buffer)
        while len(self.kept) > MAX_DROPPED_POOLS and self._make_room(list_in_use):
            pass

    def find(self, description: PoolDescription, list_in_use: ListIdentities) -> SlotBuffer | None:
        """Return a buffer for a pool that is counted in private memory; None to leave it there."""
        for buffer in self.kept:
            if _identity(buffer) == description.identity and self._is_in_place(buffer):
                self.kept.remove(buffer)
                return buffer
        file = self._sharing.file
        if file is None:
            return None
        free = file.take(_SPARE)
        while free is None and self._make_room(list_in_use):
            free = file.take(_SPARE)
        return free

    def take(self) -> SlotBuffer | None:
        """Return a free buffer of the file, None if there is none."""
        return _take(self._sharing.file, _SPARE)

    def join(self, block: Block) -> bool:
        """Make a block in the file take over the counters of a dropped pool of its identity.

        Returns:
            Whether there was such a pool. Its place is then free.
        """
        identity, file = block.description.identity, self._sharing.file
        for kept in self.kept:
            if isinstance(kept, MappedSlotBuffer) and _identity(kept) == identity:
                with block.lock:
                    old, target = block.buffer, _take(file, 0)
                    if not isinstance(target, MappedSlotBuffer) or kept.file is not file:
                        return False
                    kept.add_counters_to(target)
                    block.move(target)
                    # One store makes readers count the sum instead of its parts.
                    replaced = [each for each in (kept, old) if isinstance(each, MappedSlotBuffer)]
                    target.file.publish(target, replaces=replaced)
                self.kept.remove(kept)
                return True
        return False

    def report_left_out(self, names: Sequence[str]) -> None:
        """Tell readers for how many pools there is no room, and log each of their names once."""
        if self._sharing.file is not None:
            self._sharing.file.marks.count_left_out(len(names))
        new = [name for name in dict.fromkeys(names) if name not in self._named]
        if new and len(self._named) < MAX_NAMED:
            self._named.update(new)
            more = f" and {len(new) - MAX_NAMED} more" if len(new) > MAX_NAMED else ""
            listed = ", ".join(map(repr, new[:MAX_NAMED])) + more
            _logger.warning(NO_ROOM, MAX_SHARED_POOLS, listed)

    def publish(self, buffer: SlotBuffer) -> None:
        """Let other processes read a buffer that `find` returned."""
        if isinstance(buffer, MappedSlotBuffer):
            buffer.file.publish(buffer)

    def move(self) -> None:
        """Move into the current file the kept buffers that are not there yet."""
        for buffer in list(self.kept):
            if not self._is_in_place(buffer):
                self._merge([buffer], buffer.description)

    def _make_room(self, list_in_use: ListIdentities) -> bool:
        """Merge two pools that are gone into `DROPPED`; return False if that is impossible."""
        in_use = list_in_use() if self.kept else ()
        gone = [buffer for buffer in self.kept if _identity(buffer) not in in_use]
        gone.sort(key=lambda each: (not self._is_in_place(each), each.description != DROPPED))
        return len(gone) > 1 and self._merge(gone[:2], DROPPED) is not None

    def _merge(self, buffers: list[SlotBuffer], description: PoolDescription) -> SlotBuffer | None:
        """Replace buffers with one that has their sum; return None if there is no room for it."""
        file = self._sharing.file
        shared = [
            each for each in buffers if isinstance(each, MappedSlotBuffer) and each.file is file
        ]
        if len(buffers) == 1 and (shared or file is None):
            return None
        target = _take(file, 0 if shared else _SPARE)
        if target is None and len(buffers) > 1 and not shared:
            target = SlotBuffer()
        if target is None:
            return None
        for buffer in buffers:
            buffer.add_counters_to(target)
        target.describe(description)
        if isinstance(target, MappedSlotBuffer):
            # The sum is complete. One store makes readers count it instead of its parts.
            target.file.publish(target, replaces=shared)
        self.kept = [buffer for buffer in self.kept if buffer not in buffers]
        self.kept.append(target)
        return target

    def _is_in_place(self, buffer: SlotBuffer) -> bool:
        """Return whether a buffer is in the current file, or there is no file."""
        file = self._sharing.file
        return file is None or (isinstance(buffer, MappedSlotBuffer) and buffer.file is file)

    def _free(self, buffer: SlotBuffer) -> None:
        if isinstance(buffer, MappedSlotBuffer):
            buffer.file.free(buffer)


def _take(file: ProcessFile | None, spare: int) -> SlotBuffer | None:
    return SlotBuffer() if file is None else file.take(spare)


def _identity(buffer: SlotBuffer) -> object:
    return buffer.description.identity
