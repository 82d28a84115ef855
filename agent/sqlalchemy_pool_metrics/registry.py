"""The pools of this process: where their blocks lie, what is kept of dropped ones, and forks."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import MutableSequence
from typing import Protocol
from weakref import WeakSet, ref

from .block import Block
from .forks import build_mark
from .guard import log_fault
from .recorder import Recorder
from .rows import Rows
from .sharing import Change, Sharing
from .snapshot import PoolDescription, Snapshot, merge

__all__ = ["PROCESS", "Registry"]


class Recorded(Protocol):
    """A pool that records, as far as the registry must know it."""

    _recorder: Recorder

    def _set_recorder(self, recorder: Recorder) -> None: ...


class Registry:
    """Knows every instrumented pool of one process, without keeping any alive.

    The row of a pool that was dropped is kept for its counters, and the next pool of the same
    identity goes on in it, so that counters never go down while engines come and go. Any thread may
    call any method.

    `awake[0]` is what a pool looks at first whenever something happens to it: when it is 0, it
    calls `attend()`. So it is before the first event, after a fork, when a pool was added, and once
    in a while to look after the shared file.
    """

    def __init__(self) -> None:
        self.awake: MutableSequence[int] = bytearray(1)
        self.instrumenting = threading.RLock()
        """Held while the class of a pool is changed."""
        self._lock = threading.RLock()
        self._pools: WeakSet[Recorded] = WeakSet()
        self._blocks: set[Block] = set()
        self._arrived: deque[tuple[ref[Recorded], Block]] = deque()
        self._placed: WeakSet[Block] = WeakSet()
        self._sharing = Sharing(self.wake)
        self._rows = Rows(self._sharing)
        self._pid = 0
        self._forking = threading.RLock()

    def add(self, pool: Recorded) -> None:
        """Note a pool, or its new recorder.

        Without a lock: a finalizer may come here that runs in whoever holds a block's lock, while
        somebody waits for that one in `attend`.
        """
        self.notice_fork()
        block = pool._recorder.block
        block.row.wake = block.row.wake or self.wake
        self._arrived.append((ref(pool), block))
        self.wake()

    def wake(self) -> None:
        """Have `attend` called at the next event."""
        self.awake[0] = 0

    def attend(self) -> None:
        """Do what is due; at an event of a pool, so it never raises and waits for nobody."""
        self.notice_fork()
        try:
            if self._lock.acquire(blocking=False):
                try:
                    self.awake[0] = 1  # first, so that what comes due meanwhile is not missed
                    self._welcome()
                    self._keep_dropped()
                    self._place_blocks()
                finally:
                    self._lock.release()
        except Exception as fault:
            log_fault("looking after the pools", fault)

    def notice_fork(self) -> None:
        """Begin anew if this is a forked child, or at all at the first pool; it never raises."""
        try:
            if os.getpid() != self._pid:
                self._begin_child() if self._pid else self._begin()
        except Exception as fault:
            log_fault("beginning in a forked child", fault)

    def read(self) -> list[Snapshot]:
        """One snapshot per pool identity, of pools with the same one merged."""
        self.notice_fork()
        # Blocks are not read under our lock, for the same reason as in `add`.
        with self._lock:
            self._welcome()
            self._keep_dropped()
            blocks, kept = list(self._blocks), list(self._rows.kept)
        found: dict[object, list[Snapshot]] = {}
        for snapshot in [*(block.read_row() for block in blocks), *(row.read() for row in kept)]:
            found.setdefault(snapshot.pool.identity, []).append(snapshot)
        return [merge(snapshots) for snapshots in found.values()]

    def _begin(self) -> None:
        """At the first pool, not at import."""
        self._pid = os.getpid()
        self.awake = build_mark()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_child)

    def _begin_child(self) -> None:
        """In a forked child: count from zero, and take no lock that a thread may have held."""
        with self._forking:
            if os.getpid() == self._pid:
                return
            self._lock, self.instrumenting = threading.RLock(), threading.RLock()
            self._sharing.abandon()
            self._sharing = Sharing(self.wake)
            self._rows = Rows(self._sharing)
            self._welcome()
            self._blocks, self._placed = set(), WeakSet()
            successors: dict[Block, Block] = {}
            for pool in list(self._pools):
                old = pool._recorder
                block = successors.setdefault(old.block, old.block.successor())
                block.row.wake = self.wake
                pool._set_recorder(Recorder(block, retired=old.retired))
                self._blocks.add(block)
            self._pid = os.getpid()

    def _welcome(self) -> None:
        while self._arrived:
            arrived, block = self._arrived.popleft()
            pool = arrived()
            if pool is not None:
                self._pools.add(pool)
            self._blocks.add(block)

    def _keep_dropped(self) -> None:
        for block in [block for block in list(self._blocks) if not block.users]:
            self._blocks.discard(block)
            self._rows.keep(block.row, self._identities())

    def _place_blocks(self) -> None:
        """Find a row for each block that has none for good yet."""
        change = self._sharing.look_after()
        if change is not Change.NONE:
            self._begin_file(forget=change is Change.FOLDED)
        for block in list(self._blocks):
            if block not in self._placed:
                self._place(block)
                self._placed.add(block)

    def _begin_file(self, forget: bool) -> None:
        """There is a new file: everything goes on there."""
        self._placed = WeakSet()
        if forget:
            self._rows.kept = []
            for block in list(self._blocks):
                block.part()
        self._rows.move()

    def _place(self, block: Block) -> None:
        row = self._rows.find(block.description, self._identities())
        if row is not None:
            block.move(row)
            self._rows.publish(row)

    def describe(self, pool: Recorded, description: PoolDescription) -> None:
        """Replace what is told of a pool. What was counted under another name stays there."""
        self.notice_fork()
        block = pool._recorder.block
        with self._lock, block.lock:
            if block.row.has_counters and block.description.identity != description.identity:
                self._welcome()
                self._rows.keep(block.part(), self._identities())
                self._placed.discard(block)
            block.describe(description)
            block.row.wake = block.row.wake or self.wake
        self.wake()

    def _identities(self) -> set[object]:
        return {block.description.identity for block in list(self._blocks)}


PROCESS = Registry()
