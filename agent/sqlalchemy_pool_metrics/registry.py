"""The instrumented pools of this process, across threads, finalizers and forks."""

from __future__ import annotations

import atexit
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from typing import Callable, Protocol
from weakref import WeakSet, ref

from .block import Block
from .clock import monotonic_ns
from .endpoints import attach_new
from .faults import log_fault
from .layout import WINDOW_SHIFT
from .placement import Placement
from .recorder import Recorder
from .sharing import Sharing
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
        self._new_pools: deque[tuple[ref[RecordedPool], Block]] = deque()
        self._is_at_work = False
        self._sharing = Sharing(self._begin_window)
        self._placement = Placement(self._sharing, self._begin_window)
        self._window = 0
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

    def _begin_window(self) -> None:
        """Request the maintenance of a peak window: once, though each block begins it."""
        window = monotonic_ns() >> WINDOW_SHIFT
        if window != self._window:
            self._window = window
            self.request_maintenance()

    def run_maintenance(self) -> None:
        """Do the work that is due; never raises and never waits for the lock."""
        self._work(self._maintain)

    def find_place(self, block: Block) -> None:
        """Give a block its place when its pool opens a connection."""
        if self._placement.is_time_for(block):
            self.run_maintenance()

    def _maintain(self) -> None:
        self.up_to_date[0] = 1  # first: see `_work`
        self._register_new()
        self._placement.keep_dropped()
        self._placement.place_blocks()
        attach_new()  # a program whose functions are known may import a framework

    def _work(self, work: Callable[[], None]) -> None:
        """Do some work under the lock; if it is taken, leave all that is due to the next event."""
        # Two flags make sure that no work is lost and that none starts in the middle of other work:
        # - `up_to_date` is 0 while work is due. `_maintain` sets it to 1 before it begins, so that
        #   work that becomes due meanwhile sets it to 0 again, and the next event does that work.
        # - `_is_at_work` is read and written under the lock. The garbage collector can run a
        #   finalizer in the thread that is at work. The lock, an RLock, lets it in; the flag does
        #   not: the blocks may be half changed.
        # Neither a finalizer nor another thread waits here: it may hold the lock of a block that
        # the thread at work waits for. It sets `up_to_date` to 0 instead.
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
        """Wait for the lock and hold it; finalizers in this thread do no work meanwhile."""
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
        self._placement.keep_dropped()

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
            self._placement.keep_dropped()
            blocks, kept = list(self._placement.blocks), list(self._placement.store.kept)
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
            self._register_new()
            self._watch(block)
            self._placement.describe(block, description)
        self.request_maintenance()

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
            self._sharing = Sharing(self._begin_window)
            self._placement = Placement(self._sharing, self._begin_window)
            self._is_at_work = False
            self._register_new()
            self._placement.blocks.clear()
            successors: dict[Block, Block] = {}
            for pool in sorted(self._pools, key=lambda each: each._recorder.block.number):
                old = pool._recorder
                old.inherited = True
                if old.block not in successors:
                    successors[old.block] = old.block.build_successor()
                block = successors[old.block]
                self._watch(block)
                pool._set_recorder(Recorder(block, retired=old.retired))
                self._placement.blocks[block] = None
            self._pid = os.getpid()

    def _watch(self, block: Block) -> None:
        block.on_end = self._keep_ended
        self._placement.watch_windows(block)

    def _register_new(self) -> None:
        while self._new_pools:
            reference, block = self._new_pools.popleft()
            pool = reference()
            if pool is not None:
                self._pools.add(pool)
            self._placement.blocks[block] = None


PROCESS = Registry()
