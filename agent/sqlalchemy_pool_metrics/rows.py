"""Where the pools of a process count, and what is kept of pools that are gone.

It knows rows, not pools: the registry tells which rows are in use.
"""

from __future__ import annotations

from collections.abc import Collection

from .files import BLOCKS, ProcessFile, SharedRow
from .retirement import BEYOND, MAX_RETIRED_POOLS
from .row import Row
from .sharing import Sharing
from .snapshot import PoolDescription

__all__ = ["MAX_SHARED_POOLS", "Rows"]

_SPARE = 1
"""Rows of the file that stay free, to add two others up in."""
MAX_SHARED_POOLS = BLOCKS - _SPARE
TOO_MANY = "more than %d pools in this process: the others are not shared"


class Rows:
    """The rows of one process; for one thread at a time.

    Of pools that are gone one row is kept for each identity, for their counters: the next pool of
    that identity goes on in it. Rows are added up in a third one that takes their place in one
    step, so that whoever reads the file meanwhile finds each count once.
    """

    def __init__(self, sharing: Sharing) -> None:
        self.kept: list[Row] = []
        self._sharing = sharing

    def keep(self, row: Row, in_use: Collection[object]) -> None:
        """Keep the row of a pool that is gone; `in_use` are the identities of the others."""
        same = [row, *(each for each in self.kept if _identity(each) == _identity(row))]
        if not row.has_counters:
            self._free(row)
        elif self._add_up(same, row.description) is None:
            self.kept.append(row)
        while len(self.kept) > MAX_RETIRED_POOLS and self._make_room(in_use):
            pass

    def find(self, description: PoolDescription, in_use: Collection[object]) -> Row | None:
        """Where a pool that counts in private memory is to count; None: there."""
        for row in self.kept:
            if _identity(row) == description.identity and self._is_at_home(row):
                self.kept.remove(row)
                return row
        file = self._sharing.file
        if file is None:
            return None
        free = file.take(_SPARE)
        while free is None and self._make_room(in_use):
            free = file.take(_SPARE)
        if free is None:
            self._sharing.tell(TOO_MANY, MAX_SHARED_POOLS)
        return free

    def publish(self, row: Row) -> None:
        """Let others read a row that was found."""
        if isinstance(row, SharedRow):
            row.file.publish(row)

    def move(self) -> None:
        """Go on in the new file with what is kept."""
        for row in list(self.kept):
            self._add_up([row], row.description)

    def _make_room(self, in_use: Collection[object]) -> bool:
        """Add up pools that are gone under one name; False when there are not two of them."""
        gone = [row for row in self.kept if _identity(row) not in in_use]
        gone.sort(key=lambda row: (not self._is_at_home(row), row.description != BEYOND))
        return len(gone) > 1 and self._add_up(gone[:2], BEYOND) is not None

    def _add_up(self, rows: list[Row], description: PoolDescription) -> Row | None:
        """One row that is kept in the place of others; None when there is no room for it."""
        file = self._sharing.file
        shared = [row for row in rows if isinstance(row, SharedRow) and row.file is file]
        if len(rows) == 1 and (shared or file is None):
            return None
        target = _take(file, 0 if shared else _SPARE)
        if target is None and len(rows) > 1 and not shared:
            target = Row()
        if target is None:
            return None
        for row in rows:
            row.add_to(target)
        target.describe(description)
        if isinstance(target, SharedRow):
            target.file.publish(target, instead_of=shared)
        self.kept = [row for row in self.kept if row not in rows]
        self.kept.append(target)
        return target

    def _is_at_home(self, row: Row) -> bool:
        """Whether it lies where all rows are to lie."""
        file = self._sharing.file
        return file is None or (isinstance(row, SharedRow) and row.file is file)

    def _free(self, row: Row) -> None:
        if isinstance(row, SharedRow):
            row.file.free(row)


def _take(file: ProcessFile | None, spare: int) -> Row | None:
    return Row() if file is None else file.take(spare)


def _identity(row: Row) -> object:
    return row.description.identity
