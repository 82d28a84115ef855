"""The pools of this process: their blocks, what became of dropped ones, and what a fork changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from . import layout
from .layout import PoolDescription, Snapshot
from .recorder import Recorder

if TYPE_CHECKING:
    from .block import Block

__all__ = ["PROCESS", "Registry"]


MAX_TOTALS = 256
BEYOND_TOTALS = "dropped"
"""The name under which pools are added up that were dropped when there were MAX_TOTALS names."""


class Recorded(Protocol):
    """A pool that records, as far as the registry must know it."""

    _recorder: Recorder

    def _set_recorder(self, recorder: Recorder) -> None: ...


class Registry:
    """Knows every instrumented pool of one process, without keeping any alive.

    The block of a pool that was dropped is folded into the totals of its name, so that counters
    never go down while engines come and go. Any thread may call any method.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.instrumenting = threading.RLock()
        """Held while the class of a pool is changed."""
        self._pools: WeakSet[Recorded] = WeakSet()
        self._blocks: dict[Block, WeakSet[Recorder]] = {}
        self._totals: dict[Hashable, Snapshot] = {}
        self._watches_forks = False

    def add(self, pool: Recorded) -> None:
        """Note a pool, or its new recorder."""
        recorder = pool._recorder
        with self._lock:
            self._watch_forks()
            self._fold_dropped()
            self._pools.add(pool)
            self._blocks.setdefault(recorder.block, WeakSet()).add(recorder)

    def read(self) -> list[Snapshot]:
        """One snapshot per pool identity, of pools with the same one merged."""
        # Not under our lock: the collector may run a finalizer in whoever holds a block's lock,
        # and that finalizer may dispose of an engine, which comes here.
        with self._lock:
            self._fold_dropped()
            blocks, found = list(self._blocks), {k: [total] for k, total in self._totals.items()}
        for block in blocks:
            found.setdefault(_identity(block.description), []).insert(0, block.read())
        return [layout.merge(snapshots) for snapshots in found.values()]

    def _fold_dropped(self) -> None:
        for block in [block for block, users in list(self._blocks.items()) if not users]:
            if self._blocks.pop(block, None) is not None:
                self._add_to_total(layout.keep_counters(block.read()))

    def _add_to_total(self, counted: Snapshot) -> None:
        if not any(counted.additive):
            return
        key = _identity(counted.pool)
        if key not in self._totals and len(self._totals) >= MAX_TOTALS:
            counted = replace(counted, pool=PoolDescription(name=BEYOND_TOTALS))
            key = _identity(counted.pool)
        known = self._totals.get(key)
        self._totals[key] = layout.merge([known, counted]) if known else counted

    def _watch_forks(self) -> None:
        if not self._watches_forks:
            self._watches_forks = True
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._begin_child)

    def _begin_child(self) -> None:
        """In a forked child: count from zero, and take no lock that a thread may have held."""
        self._lock = threading.RLock()
        self.instrumenting = threading.RLock()
        self._totals = {}
        self._blocks = {}
        successors: dict[Block, Block] = {}
        for pool in list(self._pools):
            old = pool._recorder
            old.forked = True
            block = successors.setdefault(old.block, old.block.successor())
            pool._set_recorder(Recorder(block, retired=old.retired))
            self._blocks.setdefault(block, WeakSet()).add(pool._recorder)


PROCESS = Registry()


def _identity(pool: PoolDescription) -> Hashable:
    return (pool.application, pool.name, pool.dialect, pool.host, pool.port, pool.database)
