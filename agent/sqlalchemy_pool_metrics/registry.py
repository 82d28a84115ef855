"""The instrumented pools of this process, with the counters of dropped ones, across forks."""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import MutableSequence
from typing import Protocol
from weakref import WeakSet, ref

from .block import Block
from .block_store import BlockStore
from .faults import log_fault
from .recorder import Recorder
from .sharing import FileChange, Sharing
from .snapshot import PoolDescription, Snapshot, merge

__all__ = ["PROCESS", "Registry"]

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
        self._blocks: set[Block] = set()
        self._new_pools: deque[tuple[ref[RecordedPool], Block]] = deque()
        self._placed: WeakSet[Block] = WeakSet()
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
        self._watch_windows(block)
        self._new_pools.append((ref(pool), block))
        self.request_maintenance()

    def request_maintenance(self) -> None:
        """Make the next event of any pool call `run_maintenance`."""
        self.up_to_date[0] = 0

    def run_maintenance(self) -> None:
        """Do the work that is due; never raises and never waits for the lock."""
        self.check_for_fork()
        try:
            if self._lock.acquire(blocking=False):
                try:
                    self.up_to_date[0] = 1  # first: work that becomes due meanwhile sets it to 0
                    self._register_new()
                    self._keep_dropped()
                    self._place_blocks()
                finally:
                    self._lock.release()
        except Exception as fault:
            log_fault("maintaining the pools' blocks", fault)

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
        with self._lock:
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
        with self._lock, block.lock:
            if block.buffer.has_counters and block.description.identity != description.identity:
                self._register_new()
                self._store.keep(block.detach(), self._identities())
                self._placed.discard(block)
            block.describe(description)
            self._watch_windows(block)
        self.request_maintenance()

    def _initialise(self) -> None:
        self._pid = os.getpid()
        self.up_to_date = build_fork_flag()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset_in_child)

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
            self._register_new()
            self._blocks, self._placed = set(), WeakSet()
            successors: dict[Block, Block] = {}
            for pool in list(self._pools):
                old = pool._recorder
                block = successors.setdefault(old.block, old.block.build_successor())
                block.buffer.on_new_window = self.request_maintenance
                pool._set_recorder(Recorder(block, retired=old.retired))
                self._blocks.add(block)
            self._pid = os.getpid()

    def _watch_windows(self, block: Block) -> None:
        block.buffer.on_new_window = block.buffer.on_new_window or self.request_maintenance

    def _register_new(self) -> None:
        while self._new_pools:
            reference, block = self._new_pools.popleft()
            pool = reference()
            if pool is not None:
                self._pools.add(pool)
            self._blocks.add(block)

    def _keep_dropped(self) -> None:
        for block in [block for block in list(self._blocks) if not block.users]:
            self._blocks.discard(block)
            self._store.keep(block.buffer, self._identities())

    def _place_blocks(self) -> None:
        """Find the final buffer of each block that has none yet."""
        change = self._sharing.check()
        if change is not FileChange.NONE:
            self._move_to_new_file(from_zero=change is FileChange.RESTARTED)
        for block in list(self._blocks):
            if block not in self._placed:
                self._place(block)
                self._placed.add(block)

    def _move_to_new_file(self, from_zero: bool) -> None:
        self._placed = WeakSet()
        if from_zero:
            self._store.kept = []
            for block in list(self._blocks):
                block.detach()
        self._store.move()

    def _place(self, block: Block) -> None:
        buffer = self._store.find(block.description, self._identities())
        if buffer is not None:
            block.move(buffer)
            self._store.publish(buffer)

    def _identities(self) -> set[object]:
        return {block.description.identity for block in list(self._blocks)}


PROCESS = Registry()
