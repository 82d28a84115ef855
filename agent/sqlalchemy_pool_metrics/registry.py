"""The instrumented pools of this process, with the counters of dropped ones, across forks."""

from __future__ import annotations

import atexit
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Callable, Protocol
from weakref import WeakSet, ref

from .block import Block
from .block_store import BlockStore
from .clock import monotonic_ns
from .description import name_apart
from .faults import log_fault
from .recorder import Recorder
from .sharing import FileChange, Sharing
from .slot_buffer import SlotBuffer
from .snapshot import PoolDescription, Snapshot, merge

__all__ = ["PROCESS", "Registry"]

_PAUSES = 20
"""How many times as long as a vain try to place blocks the pause after it is."""
_MADV_WIPEONFORK = 18  # Linux 4.14, linux/mman.h; Python has no name for it


def build_fork_flag() -> MutableSequence[int]:
    """Return one byte that is 0, and that becomes 0 again in every forked child.

    uWSGI forks in C and calls no hook of Python. The kernel, however, wipes a page that is marked
    with MADV_WIPEONFORK. Reading it takes 26 ns, os.getpid() 110 ns. Where the kernel cannot do
    that (not Linux, or older than 4.14), only forks by os.fork() are noticed.
    """
    if sys.platform == "linux":
        try:
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(_MADV_WIPEONFORK)
        except (OSError, ValueError):
            return bytearray(1)
        return page  # type: ignore[return-value]
    return bytearray(1)


class RecordedPool(Protocol):
    """The part of a recording pool that the registry uses."""

    _recorder: Recorder

    def _set_recorder(self, recorder: Recorder) -> None: ...


class Registry:
    """All instrumented pools of one process; it keeps none of them alive.

    The buffer of a dropped pool is kept for its counters. The next pool of the same identity
    continues in it, so that counters never fall while engines come and go. Any thread may call any
    method.

    A block gets a place in the shared file when its pool first opens a connection. When there are
    more pools than places, blocks with connections come before those without, then the busiest,
    then the oldest.

    Attributes:
        up_to_date: One byte. A pool reads it at every event and calls `run_maintenance()` when it
            is 0: before the first event, in a forked child, after a pool was added, and every few
            seconds to check the shared file.
        instrumenting: Held while the class of a pool changes.
    """

    def __init__(self) -> None:
        self.up_to_date: MutableSequence[int] = bytearray(1)
        self.instrumenting = threading.RLock()
        self._lock = threading.RLock()
        self._pools: WeakSet[RecordedPool] = WeakSet()
        self._blocks: dict[Block, None] = {}
        self._new_pools: deque[tuple[ref[RecordedPool], Block]] = deque()
        self._is_at_work = False
        self._retry_at_ns = 0
        self._sharing = Sharing(self.request_maintenance)
        self._store = BlockStore(self._sharing)
        self._pid = 0
        self._forking = threading.RLock()

    def add(self, pool: RecordedPool) -> None:
        """Add a pool, or a new recorder of a pool."""
        # Takes no lock, and deque.append() needs none. A finalizer that disposes of an engine may
        # come here while its thread holds a block's lock. A thread in run_maintenance() holds our
        # lock and waits for that block's: taking ours here would deadlock.
        self.check_for_fork()
        block = pool._recorder.block
        self._watch(block)
        self._new_pools.append((ref(pool), block))
        self.request_maintenance()

    def request_maintenance(self) -> None:
        """Make the next event of any pool call `run_maintenance`."""
        self.up_to_date[0] = 0

    def run_maintenance(self) -> None:
        """Do the work that is due; never raises and never waits for the lock."""
        self._work(self._maintain)

    def find_place(self, block: Block) -> None:
        """Give a block its place when its pool opens a connection.

        With very many pools and no room for them each try takes milliseconds: rest in between.
        """
        if block.description.waits or monotonic_ns() >= self._retry_at_ns:
            self.run_maintenance()

    def _maintain(self) -> None:
        self.up_to_date[0] = 1  # first: work that becomes due meanwhile sets it to 0
        self._register_new()
        self._keep_dropped()
        self._place_blocks()

    def _work(self, work: Callable[[], None]) -> None:
        """Do some work under the lock; if it is taken, leave all that is due to the next event.

        A finalizer may call this while its own thread is at work.
        """
        self.check_for_fork()
        try:
            if not self._lock.acquire(blocking=False):
                self.request_maintenance()
                return
            try:
                if self._is_at_work:
                    self.request_maintenance()
                else:
                    with self._working():
                        work()
            finally:
                self._lock.release()
        except Exception as fault:
            log_fault("maintaining the pools' blocks", fault)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Hold the lock; finalizers that run in this thread meanwhile do no work."""
        with self._lock:
            before, self._is_at_work = self._is_at_work, True
            try:
                yield
            finally:
                self._is_at_work = before

    def _keep_ended(self) -> None:
        """Keep the counters of a pool as soon as it is gone; its process may end at any time."""
        # This may run in a finalizer, under any locks: keeping waits for no lock, opens no file
        # and logs nothing. The rest is left to the next event.
        self._work(self._keep_now)
        self.request_maintenance()

    def _keep_now(self) -> None:
        self._register_new()  # first: a block that is registered later would be kept again
        self._keep_dropped()

    def _end(self) -> None:
        """At the end of the process, share the pools that are not shared yet."""
        if self._sharing.file is not None:
            self.run_maintenance()

    def check_for_fork(self) -> None:
        """Reset after a fork; initialise on first use. Never raises."""
        try:
            if os.getpid() != self._pid:
                self._reset_in_child() if self._pid else self._initialise()
        except Exception as fault:
            log_fault("starting in a forked child", fault)

    def read(self) -> list[Snapshot]:
        """Return one snapshot per pool identity; pools with the same one are merged."""
        self.check_for_fork()
        with self._working():
            self._register_new()
            self._keep_dropped()
            blocks, kept = list(self._blocks), list(self._store.kept)
        # Blocks are read, and their locks taken, outside of our lock: see `add`.
        found: dict[object, list[Snapshot]] = {}
        for snapshot in [
            *(block.read_buffer() for block in blocks),
            *(buffer.read() for buffer in kept),
        ]:
            found.setdefault(snapshot.pool.identity, []).append(snapshot)
        return [merge(snapshots) for snapshots in found.values()]

    def describe(self, pool: RecordedPool, description: PoolDescription) -> None:
        """Replace a pool's description; what was counted under another name stays there."""
        self.check_for_fork()
        block = pool._recorder.block
        with self._working():
            self._describe(block, description)
        self.request_maintenance()

    def _describe(self, block: Block, description: PoolDescription) -> None:
        with block.lock:
            if block.buffer.has_counters and block.description.identity != description.identity:
                self._register_new()
                self._store.keep(block.detach(), self._identities())
            block.describe(description)
            self._watch(block)

    def _initialise(self) -> None:
        self._pid = os.getpid()
        self.up_to_date = build_fork_flag()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset_in_child)
        atexit.register(self._end)

    def _reset_in_child(self) -> None:
        """Count from zero in a forked child."""
        with self._forking:
            if os.getpid() == self._pid:
                return
            # The parent's threads do not exist here. A lock that one of them held at the fork is
            # never released. Take only `_forking`, which no thread of the parent holds.
            self._lock, self.instrumenting = threading.RLock(), threading.RLock()
            self._sharing.abandon()
            self._sharing = Sharing(self.request_maintenance)
            self._store = BlockStore(self._sharing)
            self._is_at_work = False
            self._register_new()
            self._blocks = {}
            successors: dict[Block, Block] = {}
            for pool in sorted(self._pools, key=lambda each: each._recorder.block.number):
                old = pool._recorder
                if old.block not in successors:
                    successors[old.block] = old.block.build_successor()
                block = successors[old.block]
                self._watch(block)
                pool._set_recorder(Recorder(block, retired=old.retired))
                self._blocks[block] = None
            self._pid = os.getpid()

    def _watch(self, block: Block) -> None:
        block.on_end = self._keep_ended
        block.buffer.on_new_window = block.buffer.on_new_window or self.request_maintenance

    def _register_new(self) -> None:
        while self._new_pools:
            reference, block = self._new_pools.popleft()
            pool = reference()
            if pool is not None:
                self._pools.add(pool)
            self._blocks[block] = None

    def _keep_dropped(self) -> None:
        for block in [block for block in list(self._blocks) if not block.users]:
            del self._blocks[block]
            if block.is_placed or not self._fold(block.buffer):
                self._store.keep(block.buffer, self._identities())

    def _place_blocks(self) -> None:
        """Find the final buffer of each block that has none yet."""
        change = self._sharing.check()
        if change is not FileChange.NONE:
            self._move_to_new_file(from_zero=change is FileChange.RESTARTED)
        wanting = [
            block
            for block in list(self._blocks)
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
        self._store.move()
        self._retry_at_ns = 0
        if left_out:
            self._share_counters(left_out)
            in_use = [block for block in left_out if block.is_in_use]
            self._store.warn_about([block.description.name for block in in_use])
            now_ns = monotonic_ns()
            self._retry_at_ns = now_ns + _PAUSES * (now_ns - began_ns)

    def _list_reusable(self) -> set[object]:
        vacant = {block.description.identity for block in self._list_vacant()}
        return vacant | {buffer.description.identity for buffer in self._store.kept}

    def _tell_apart(self, block: Block) -> None:
        """Name the pools of one database apart if they differ, and nobody has named them."""
        name = block.base_name
        if name is None:
            return
        group = [
            other
            for other in list(self._blocks)
            if other.base_name == name
            and _database(other.description) == _database(block.description)
            and (other.is_in_use or other.earlier_checkouts)
        ]
        names = name_apart(name, [(other.description, other.module) for other in group])
        for other, new in zip(group, names):
            if other.description.name != new:
                self._describe(other, replace(other.description, name=new))

    def _move_to_new_file(self, from_zero: bool) -> None:
        for block in list(self._blocks):
            block.is_placed = False
            if from_zero:
                block.detach()
        if from_zero:
            self._store.kept = []
        self._store.move()

    def _place(self, block: Block) -> bool:
        """Move a block to its final buffer; return False if there is no place for it."""
        for other in self._list_vacant(block.description.identity):
            self._vacate(other)
        buffer = self._store.find(block.description, self._identities())
        if buffer is None and self._sharing.file is not None:
            buffer = self._join_kept() or self._take_from_vacant(block)
            if buffer is None:
                return False
        if buffer is not None:
            block.move(buffer)
            self._store.publish(buffer)
        block.is_placed = True
        return True

    def _list_vacant(self, identity: object = None) -> list[Block]:
        """Return the placed blocks that can leave their place, the least busy first."""
        vacant = [
            block
            for block in list(self._blocks)
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
                self._store.keep(buffer, self._identities())

    def _take_from_vacant(self, block: Block) -> SlotBuffer | None:
        """Return the place of a block without connections; None if there is none."""
        for other in self._list_vacant():
            is_certain = other.is_disposed or not other.is_in_use or block.description.waits
            # Twice as busy: pools that are used in turn must not keep taking it from each other.
            if not is_certain and block.count_checkouts() <= 2 * other.count_checkouts():
                break
            self._vacate(other)
            buffer = self._store.find(block.description, self._identities())
            if buffer is not None:
                return buffer
        return None

    def _join_kept(self) -> SlotBuffer | None:
        """Return the place of a pool that is gone, after a live one took over its counters."""
        for block in list(self._blocks):
            if block.is_placed and self._store.join(block):
                return self._store.take()
        return None

    def _share_counters(self, blocks: list[Block]) -> None:
        """Add the counters of blocks without a place to placed blocks of their identities."""
        identities = self._identities()
        for block in blocks:
            if block.description.identity in identities and block.buffer.has_counters:
                buffer = block.detach(is_renamed=False)
                if not self._fold(buffer):
                    self._store.keep(buffer, identities)

    def _fold(self, buffer: SlotBuffer) -> bool:
        """Add a detached buffer's counters to a placed block of its identity, if there is one."""
        block = self._find_placed(buffer.description.identity)
        return block is not None and buffer.has_counters and block.absorb(buffer)

    def _find_placed(self, identity: object) -> Block | None:
        for block in list(self._blocks):
            if block.is_placed and block.users and block.description.identity == identity:
                return block
        return None

    def _identities(self) -> set[object]:
        """Return the identities of the pools that have a place."""
        blocks = list(self._blocks)
        return {block.description.identity for block in blocks if block.is_placed}


def _database(pool: PoolDescription) -> tuple[object, ...]:
    return (pool.application, pool.dialect, pool.host, pool.port, pool.database)


def _urgency(block: Block) -> tuple[bool, int, int]:
    """Return a sort key: blocks with connections come first, then the busiest, then the oldest."""
    return (block.is_vacant, -block.count_checkouts(), block.number)


PROCESS = Registry()
