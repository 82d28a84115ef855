"""The holders of a pool's connections: how many each has, how often and how long, how long busy.

Of each connection that is out, the table also keeps where in the program it was checked out.
"""

from __future__ import annotations

from collections import Counter

from .layout import (
    BUSY_ONE,
    BUSY_UNIT_SHIFT,
    CALL_SITE_BYTES,
    CALL_SITE_SHIFT,
    HELD,
    HELD_CAPACITY,
    HOLDER_NAME_BYTES,
    HOLDER_ROWS,
    HOLDER_SHIFT,
    HOLDER_SINCE,
    SLOT,
    TABLE,
    TO_DETAILS,
)
from .snapshot import OTHER

__all__ = ["HolderRow", "HolderTable"]

MAX_SITES = 1000
"""Call sites to remember, those without a number included. Generated code has ever new ones."""
_BUSY_SINCE = SLOT["holder_busy_since"]
_HOLDS, _LEAKS = SLOT["holder_holds"], SLOT["holder_leaks"]
_HELD, _BUSY = SLOT["holder_held"], SLOT["holder_busy"]
_THREAD = (1 << CALL_SITE_SHIFT) - 1


class _Lines:
    """A region of text to which lines are added."""

    def __init__(self, slots: memoryview, name: str, used: str) -> None:
        region = TABLE.regions[name]
        self._slots, self._used = slots, SLOT[used]
        self._text = slots.cast("B")[8 * region.offset : 8 * (region.offset + region.length)]
        self._length = 0

    def has_room(self, *lines: str) -> bool:
        """Return whether these lines fit."""
        return self._length + sum(len(line.encode()) + 1 for line in lines) <= len(self._text)

    def append(self, line: str) -> None:
        """Add a line."""
        # The text before the length: a reader finds whole lines only.
        text = f"{line}\n".encode()
        end = self._length + len(text)
        self._text[self._length : end] = text
        self._slots[self._used] = self._length = end


class HolderRow:
    """The numbers of one holder.

    Attributes:
        name: The holder.
        holds: How often it took a connection.
        leaks: How many of them the garbage collector returned.
        held: What it has and for how long, see `layout`.
        busy: What it executes statements on and for how long, likewise.
        detail: Its number in a slot of `held_details`.
        holds_slot, leaks_slot, held_slot, busy_slot: Their slots.
    """

    __slots__ = (
        "busy",
        "busy_slot",
        "detail",
        "held",
        "held_slot",
        "holds",
        "holds_slot",
        "leaks",
        "leaks_slot",
        "name",
    )  # fmt: skip

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.holds_slot, self.held_slot = _HOLDS + number, _HELD + number
        self.leaks_slot, self.busy_slot = _LEAKS + number, _BUSY + number
        self.holds = self.leaks = self.held = self.busy = 0
        self.detail = number + 1 << HOLDER_SHIFT


class HolderTable:
    """The rows of one buffer; the caller holds the block's lock.

    Numbers are stored into slots and never loaded from there.

    Attributes:
        rows: By name. Several names may lead to the row of OTHER.
        sites: The numbers of the call sites, in a slot of `held_details`.
    """

    def __init__(self, slots: memoryview) -> None:
        self.rows: dict[str, HolderRow] = {}
        self.sites: dict[str, int] = {"": 0}
        self._slots = slots
        self._names = _Lines(slots, "holder_names", "holder_names_used")
        self._site_lines = _Lines(slots, "call_sites", "call_sites_used")
        self._numbered: list[HolderRow] = []
        self._numbered_sites: list[str] = []

    def find(self, holder: str, site: str) -> tuple[HolderRow, int]:
        """Return the row of a holder and the number of a call site; add what is new."""
        return self.rows.get(holder) or self._find(holder), self._add_site(site)

    def begin(self, holder: str, site: str, thread: int, slot: int, now_ns: int) -> str:
        """Count a checkout; return the holder for `end`.

        Args:
            holder: Who checks a connection out.
            site: The place of the call site; "" if it is not known.
            thread: The last 32 bits of the native id of the thread.
            slot: The slot of the start time; 0 for none.
            now_ns: The start time.
        """
        row, number = self.find(holder, site)
        # Call nothing until the numbers are stored: a finalizer could run there and end a hold.
        slots = self._slots
        if slot:
            slots[slot + TO_DETAILS] = row.detail | number | thread
        slots[HOLDER_SINCE] = now_ns
        slots[row.held_slot] = row.held = row.held + BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)
        slots[row.holds_slot] = row.holds = row.holds + 1
        return row.name

    def end(self, holder: str, slot: int, now_ns: int) -> None:
        """Count the end of a checkout."""
        row, slots = self.rows[holder], self._slots
        slots[row.held_slot] = row.held = row.held - BUSY_ONE + (now_ns >> BUSY_UNIT_SHIFT)
        if slot:
            slots[slot + TO_DETAILS] = 0

    def begin_statement(self, holder: str, now_ns: int) -> None:
        """Count a connection that executes a statement from now on."""
        row = self.rows[holder]
        self._slots[_BUSY_SINCE] = now_ns  # first, see `layout`
        row.busy = busy = row.busy + BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)
        self._slots[row.busy_slot] = busy

    def end_statement(self, holder: str, now_ns: int) -> None:
        """Count the end of a statement."""
        row = self.rows[holder]
        row.busy = busy = row.busy - BUSY_ONE + (now_ns >> BUSY_UNIT_SHIFT)
        self._slots[row.busy_slot] = busy

    def add_leak(self, holder: str) -> None:
        """Count a connection that the garbage collector returned."""
        row = self.rows[holder]
        row.leaks = leaks = row.leaks + 1
        self._slots[row.leaks_slot] = leaks

    def count(self) -> Counter[tuple[str, str]]:
        """Return the numbers of each holder."""
        names = ("holds", "leaks", "held", "busy")
        rows = self.rows.values()
        return Counter({(row.name, name): getattr(row, name) for row in rows for name in names})

    def add(self, source: HolderTable) -> None:
        """Add the numbers of another table."""
        for row in set(source.rows.values()):
            target = self._find(row.name)
            target.holds += row.holds
            target.leaks += row.leaks
            target.held += row.held
            target.busy += row.busy
            self._store(target)
            if row.held >= BUSY_ONE >> 1:  # connections that are out end under this name
                self.rows[row.name] = target
        for since in (HOLDER_SINCE, _BUSY_SINCE):
            self._slots[since] = max(self._slots[since], source._slots[since])

    def take_holds(self, source: HolderTable, now_ns: int) -> None:
        """Take over connections and statements. In the source they end now, and begin here."""
        begin = BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)
        for name, row in source.rows.items():
            if row.held >= begin:
                target = self.rows[name] = self._find(row.name)
                target.held, target.busy = row.held // begin * begin, row.busy // begin * begin
                self._store(target)
        for row in source.rows.values():
            row.held, row.busy = row.held % begin, row.busy % begin
            source._store(row)
        self._slots[HOLDER_SINCE] = self._slots[_BUSY_SINCE] = now_ns

    def take_details(self, source: HolderTable) -> None:
        """Copy what is known about the connections that are out, after their holders."""
        for slot in range(HELD + TO_DETAILS, HELD + TO_DETAILS + HELD_CAPACITY):
            detail = source._slots[slot]
            self._slots[slot] = self._translate(detail, source) if detail else 0

    def _translate(self, detail: int, source: HolderTable) -> int:
        row = source._numbered[(detail >> HOLDER_SHIFT) - 1]
        site = detail >> CALL_SITE_SHIFT & 0xFFFF
        place = self._add_site(source._numbered_sites[site - 1]) if site else 0
        return self._find(row.name).detail | place | detail & _THREAD

    def _store(self, row: HolderRow) -> None:
        self._slots[row.held_slot] = row.held
        self._slots[row.busy_slot] = row.busy
        self._slots[row.holds_slot] = row.holds
        self._slots[row.leaks_slot] = row.leaks

    def _find(self, holder: str) -> HolderRow:
        name = _clean(holder)
        if name not in self.rows:
            has_row = len(self._numbered) < HOLDER_ROWS - 1
            name = name if has_row and self._names.has_room(name, OTHER) else OTHER
        return self.rows.get(name) or self._append(name)

    def _append(self, name: str) -> HolderRow:
        row = self.rows[name] = HolderRow(name, len(self._numbered))
        self._numbered.append(row)
        self._names.append(name)
        return row

    def _add_site(self, site: str) -> int:
        """Return the number of a call site, 0 if there is no room for it."""
        if site not in self.sites:
            line = _clean(site, CALL_SITE_BYTES)
            if self._site_lines.has_room(line):
                self._numbered_sites.append(site)
                self._site_lines.append(line)
                self.sites[site] = len(self._numbered_sites) << CALL_SITE_SHIFT
            elif len(self.sites) < MAX_SITES:
                self.sites[site] = 0
        return self.sites.get(site, 0)


def _clean(text: str, longest: int = HOLDER_NAME_BYTES) -> str:
    """Return a text as one short line."""
    if text.isprintable() and len(text.encode()) <= longest:
        return text
    printable = "".join(each if each.isprintable() else "\ufffd" for each in text)
    return printable.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
