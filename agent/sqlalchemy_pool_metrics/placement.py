"""Give the blocks of this process their places in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .block import Block
from .block_store import BlockStore
from .clock import monotonic_ns
from .description import name_apart, read_kind
from .sharing import FileChange, Sharing
from .slot_buffer import SlotBuffer
from .snapshot import PoolDescription

__all__ = ["Placement"]

_PAUSES = 20
"""How many times as long as a vain try to place blocks the pause after it is."""


class Placement:
    """The blocks of one process, and which of them have a place; for one thread at a time.

    A block gets a place in the shared file when its pool first opens a connection. When there are
    more pools than places, blocks with connections come before those without, then the busiest,
    then the oldest.

    Attributes:
        blocks: The blocks of the pools, the first registered first.
        store: The buffers of pools that are gone.
    """

    def __init__(self, sharing: Sharing, request_maintenance: Callable[[], None]) -> None:
        """Build it; `request_maintenance` is called when a block's peak window begins."""
        # An ordered set. Iterate over a copy: a finalizer that reads the pools may change it.
        self.blocks: dict[Block, None] = {}
        self.store = BlockStore(sharing)
        self._sharing = sharing
        self._request_maintenance = request_maintenance
        self._retry_at_ns = 0

    def is_time_for(self, block: Block) -> bool:
        """Return whether to try to place a block whose pool opens a connection; for any thread.

        With very many pools and no room for them each try takes milliseconds: rest in between.
        """
        is_urgent = block.description.waits and not block.is_left_out
        return is_urgent or monotonic_ns() >= self._retry_at_ns

    def watch_windows(self, block: Block) -> None:
        """Request maintenance at the first event of each peak window of a block."""
        block.buffer.on_new_window = block.buffer.on_new_window or self._request_maintenance

    def describe(self, block: Block, description: PoolDescription) -> None:
        """Replace a pool's description; what was counted under another name stays there."""
        with block.lock:
            if block.buffer.has_counters and block.description.identity != description.identity:
                self.store.keep(block.detach(), self._identities)
            block.describe(description)
            self.watch_windows(block)

    def keep_dropped(self) -> None:
        """Keep the counters of pools that are gone.

        The caller may be a finalizer, under any locks: waits for no lock, opens no file and logs
        nothing.
        """
        for block in [block for block in list(self.blocks) if not block.users]:
            del self.blocks[block]
            if block.is_placed or not self._fold(block.buffer):
                self.store.keep(block.buffer, self._identities)

    def place_blocks(self) -> None:
        """Find the final buffer of each block that has none yet."""
        change = self._sharing.check()
        if change is not FileChange.NONE:
            self._move_to_new_file(from_zero=change is FileChange.RESTARTED)
        wanting = [
            block
            for block in list(self.blocks)
            if not block.is_placed and (block.is_in_use or block.earlier_checkouts)
        ]
        began_ns = monotonic_ns()
        left_out: list[Block] = []
        reusable: set[object] = set()
        for block in sorted(wanting, key=_urgency):
            # Once there is no room, only the places of equal pools are left.
            if left_out and block.description.identity not in reusable:
                left_out.append(block)
                continue
            self._tell_apart(block)
            if not self._place(block):
                left_out.append(block)
                reusable = self._list_reusable()
        for block in wanting:
            block.is_left_out = not (block.is_placed or block.is_vacant)
        self.store.move()
        self._share_counters(left_out)
        in_use = [block for block in left_out if block.is_in_use]
        self.store.report_left_out([block.description.name for block in in_use])
        now_ns = monotonic_ns()
        self._retry_at_ns = now_ns + _PAUSES * (now_ns - began_ns) if left_out else 0

    def _list_reusable(self) -> set[object]:
        vacant = {block.description.identity for block in self._list_vacant()}
        return vacant | {buffer.description.identity for buffer in self.store.kept}

    def _tell_apart(self, block: Block) -> None:
        """Name the pools of one database apart if they differ, and nobody has named them."""
        name = block.base_name
        if name is None:
            return
        for other in self._iterate_namesakes(block):
            if other is block:
                break
            # With many engines of one kind, the first one has found the name.
            if other.is_placed and read_kind(other.description) == read_kind(block.description):
                self._rename(block, other.description.name)
                return
        group = list(self._iterate_namesakes(block))
        names = name_apart(name, [(other.description, other.module) for other in group])
        for other, new in zip(group, names):
            self._rename(other, new)

    def _iterate_namesakes(self, block: Block) -> Iterator[Block]:
        """Yield the pools that were used and have the default name and database of this one."""
        database = _database(block.description)
        for other in list(self.blocks):
            if (
                other.base_name == block.base_name
                and (other.is_in_use or other.earlier_checkouts)
                and _database(other.description) == database
            ):
                yield other

    def _rename(self, block: Block, name: str) -> None:
        if block.description.name != name:
            self.describe(block, replace(block.description, name=name))

    def _move_to_new_file(self, from_zero: bool) -> None:
        for block in list(self.blocks):
            block.is_placed = False
            if from_zero:
                block.detach()
        if from_zero:
            self.store.kept = []
        self.store.move()

    def _place(self, block: Block) -> bool:
        """Move a block to its final buffer; return False if there is no place for it."""
        for other in self._list_vacant(block.description.identity):
            self._vacate(other)
        buffer = self.store.find(block.description, self._identities)
        if buffer is None and self._sharing.file is not None:
            buffer = self._join_kept() or self._take_from_vacant(block)
            if buffer is None:
                return False
        if buffer is not None:
            block.move(buffer)
            self.store.publish(buffer)
        block.is_placed = True
        return True

    def _list_vacant(self, identity: object = None) -> list[Block]:
        """Return the placed blocks that can leave their place, the least busy first."""
        vacant = [
            block
            for block in list(self.blocks)
            if block.is_placed
            and block.is_vacant
            and identity in (None, block.description.identity)
        ]
        return sorted(vacant, key=lambda block: (block.is_in_use, block.count_checkouts()))

    def _vacate(self, block: Block) -> None:
        """Leave the counters of a block without connections in its place, and detach the block."""
        with block.lock:
            if block.is_vacant and block.is_placed:
                buffer = block.detach(is_renamed=False)
                block.end_use()
                self.store.keep(buffer, self._identities)

    def _take_from_vacant(self, block: Block) -> SlotBuffer | None:
        """Return the place of a block without connections; None if there is none."""
        for other in self._list_vacant():
            is_free = other.is_disposed or not other.is_in_use or block.description.waits
            is_certain = is_free and not block.is_vacant
            # Twice as busy: pools that are used in turn must not keep taking it from each other.
            if not is_certain and block.count_checkouts() <= 2 * other.count_checkouts():
                break
            self._vacate(other)
            buffer = self.store.find(block.description, self._identities)
            if buffer is not None:
                return buffer
        return None

    def _join_kept(self) -> SlotBuffer | None:
        """Return the place of a pool that is gone, after a live one took over its counters."""
        for block in list(self.blocks):
            if block.is_placed and self.store.join(block):
                return self.store.take()
        return None

    def _share_counters(self, blocks: list[Block]) -> None:
        """Add the counters of blocks without a place to placed blocks of their identities."""
        identities = self._identities() if blocks else ()
        for block in blocks:
            if block.description.identity in identities and block.buffer.has_counters:
                buffer = block.detach(is_renamed=False)
                if not self._fold(buffer):
                    self.store.keep(buffer, self._identities)

    def _fold(self, buffer: SlotBuffer) -> bool:
        """Add a detached buffer's counters to a placed block of its identity, if there is one."""
        block = self._find_placed(buffer.description.identity)
        return block is not None and buffer.has_counters and block.absorb(buffer)

    def _find_placed(self, identity: object) -> Block | None:
        for block in list(self.blocks):
            if block.is_placed and block.users and block.description.identity == identity:
                return block
        return None

    def _identities(self) -> set[object]:
        """Return the identities of the pools that have a place."""
        blocks = list(self.blocks)
        return {block.description.identity for block in blocks if block.is_placed}


def _database(pool: PoolDescription) -> tuple[object, ...]:
    return (pool.application, pool.dialect, pool.host, pool.port, pool.database)


def _urgency(block: Block) -> tuple[bool, int, int]:
    """Return a sort key: blocks with connections come first, then the busiest, then the oldest."""
    return (block.is_vacant, -block.count_checkouts(), block.number)
