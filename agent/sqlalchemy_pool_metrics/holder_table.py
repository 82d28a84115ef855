"""The holders of a pool's connections: how many each has, how often it took one, for how long."""

from __future__ import annotations

from collections import Counter

from .layout import (
    BUSY_ONE,
    BUSY_UNIT_SHIFT,
    HOLDER_NAME_BYTES,
    HOLDER_ROWS,
    SLOT,
    TABLE,
)
from .snapshot import OTHER

__all__ = ["HolderTable"]

_SINCE, _NAMES_USED = SLOT["holder_since"], SLOT["holder_names_used"]
_HOLDS, _HELD, _NAMES = SLOT["holder_holds"], SLOT["holder_held"], SLOT["holder_names"]
_NAMES_END = _NAMES + TABLE.regions["holder_names"].length
_ROOM = 8 * (_NAMES_END - _NAMES) - len(f"{OTHER}\n")


class HolderRow:
    """The numbers of one holder.

    Attributes:
        name: The holder.
        holds: How often it took a connection.
        held: What it has and for how long, see `layout`.
        holds_slot: The slot of `holds`.
        held_slot: The slot of `held`.
    """

    __slots__ = ("held", "held_slot", "holds", "holds_slot", "name")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.holds_slot, self.held_slot = _HOLDS + number, _HELD + number
        self.holds = self.held = 0


class HolderTable:
    """The rows of one buffer; the caller holds the block's lock.

    Numbers are stored into slots and never loaded from there.

    Attributes:
        rows: By name. Several names may lead to the row of OTHER.
    """

    def __init__(self, slots: memoryview) -> None:
        self.rows: dict[str, HolderRow] = {}
        self._slots = slots
        self._names = slots.cast("B")[8 * _NAMES : 8 * _NAMES_END]
        self._count = self._length = 0

    def begin(self, holder: str, now_ns: int) -> str:
        """Count a checkout; return the holder for `end`."""
        try:
            row = self.rows[holder]
        except KeyError:
            row = self._find(holder)
        # Call nothing until the numbers are stored: a finalizer could run there and end a hold.
        slots = self._slots
        slots[_SINCE] = now_ns
        slots[row.held_slot] = row.held = row.held + BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)
        slots[row.holds_slot] = row.holds = row.holds + 1
        return row.name

    def end(self, holder: str, now_ns: int) -> None:
        """Count the end of a checkout."""
        row = self.rows[holder]
        row.held = held = row.held - BUSY_ONE + (now_ns >> BUSY_UNIT_SHIFT)
        self._slots[row.held_slot] = held

    def count(self) -> Counter[tuple[str, str]]:
        """Return the holds and the time of each holder."""
        rows = self.rows.values()
        return Counter(
            {(row.name, "holds"): row.holds for row in rows}
            | {(row.name, "held"): row.held for row in rows}
        )

    def add(self, source: HolderTable) -> None:
        """Add the numbers of another table."""
        for row in set(source.rows.values()):
            target = self._find(row.name)
            target.holds += row.holds
            target.held += row.held
            self._store(target)
            if row.held >= BUSY_ONE >> 1:  # connections that are out end under this name
                self.rows[row.name] = target
        self._slots[_SINCE] = max(self._slots[_SINCE], source._slots[_SINCE])

    def take_holds(self, source: HolderTable, now_ns: int) -> None:
        """Take over the connections that are out. In the source they end now, and begin here."""
        begin = BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)
        for name, row in source.rows.items():
            if row.held >= begin:
                target = self.rows[name] = self._find(row.name)
                target.held = row.held // begin * begin
                self._store(target)
        for row in source.rows.values():
            row.held %= begin
            source._store(row)
        self._slots[_SINCE] = now_ns

    def _store(self, row: HolderRow) -> None:
        self._slots[row.held_slot] = row.held
        self._slots[row.holds_slot] = row.holds

    def _find(self, holder: str) -> HolderRow:
        name = _clean(holder)
        if name not in self.rows:
            is_full = self._count >= HOLDER_ROWS - 1 or self._length + len(name.encode()) >= _ROOM
            name = OTHER if is_full else name
        return self.rows.get(name) or self._append(name)

    def _append(self, name: str) -> HolderRow:
        row = self.rows[name] = HolderRow(name, self._count)
        self._count += 1
        # The text before the length: a reader finds whole names only.
        text = f"{name}\n".encode()
        end = self._length + len(text)
        self._names[self._length : end] = text
        self._slots[_NAMES_USED] = self._length = end
        return row


def _clean(holder: str) -> str:
    """Return a holder as one short line."""
    if holder.isprintable() and len(holder.encode()) <= HOLDER_NAME_BYTES:
        return holder
    printable = "".join(each if each.isprintable() else "\ufffd" for each in holder)
    return printable.encode("utf-8", "replace")[:HOLDER_NAME_BYTES].decode("utf-8", "ignore")
