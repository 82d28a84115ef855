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
    ENDED,
    HELD,
    HELD_CAPACITY,
    HELD_OVERFLOWED,
    HOLD_SUM,
    HOLDER_HELD,
    HOLDER_NAME_BYTES,
    HOLDER_ROWS,
    HOLDER_SHIFT,
    SLOT,
    TABLE,
    TO_DETAILS,
)
from .snapshot import OTHER

__all__ = ["HolderRow", "HolderTable"]

MAX_DETAILS = 200
"""A holder remembers so many call sites, then forgets them: generated code has ever new ones."""
_BUSY_SINCE = SLOT["holder_busy_since"]
_HOLDS, _LEAKS, _BUSY = (SLOT[name] for name in ("holder_holds", "holder_leaks", "holder_busy"))
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
        held_ns: For how long it had the connections that it gave back.
        busy: What it executes statements on and for how long, see `layout`.
        detail: Its number in a slot of `held_details`.
        details: By call site, `detail` with the number of the call site.
        holds_slot, leaks_slot, held_slot, busy_slot: Their slots.
    """

    __slots__ = (
        "busy",
        "busy_slot",
        "detail",
        "details",
        "held_ns",
        "held_slot",
        "holds",
        "holds_slot",
        "leaks",
        "leaks_slot",
        "name",
    )  # fmt: skip

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.holds_slot, self.held_slot = _HOLDS + number, HOLDER_HELD + number
        self.leaks_slot, self.busy_slot = _LEAKS + number, _BUSY + number
        self.holds = self.leaks = self.held_ns = self.busy = 0
        self.detail = number + 1 << HOLDER_SHIFT
        self.details: dict[str, int] = {}


class HolderTable:
    """The rows of one buffer; the caller holds the block's lock.

    Numbers are stored into slots and never loaded from there.

    Attributes:
        rows: By name. Several names may lead to the row of OTHER. That of "" has only `held_ns`:
            the part of connections without a holder.
    """

    def __init__(self, slots: memoryview) -> None:
        self.rows: dict[str, HolderRow] = {"": HolderRow("", -1)}
        self.rows[""].held_slot = HOLD_SUM
        self._sites: dict[str, int] = {"": 0}  # their numbers, in a slot of `held_details`
        self._slots = slots
        self._names = _Lines(slots, "holder_names", "holder_names_used")
        self._site_lines = _Lines(slots, "call_sites", "call_sites_used")
        self._numbered: list[HolderRow] = []
        self._numbered_sites: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Whether no connection had a holder."""
        return not self._numbered

    @property
    def held_ns(self) -> int:
        """For how long holders had the connections that they gave back."""
        return sum(row.held_ns for row in self._numbered)

    def find(self, holder: str, site: str) -> tuple[HolderRow, int]:
        """Return the row of a holder and the detail of a call site; add what is new."""
        row = self.rows.get(holder) or self._find(holder)
        detail = row.detail | self._add_site(site)
        if len(row.details) >= MAX_DETAILS:
            row.details.clear()
        row.details[site] = detail
        return row, detail

    def find_row(self, slot: int) -> HolderRow:
        """Return the row to which a slot of `held` belongs."""
        number = self._slots[slot + TO_DETAILS] >> HOLDER_SHIFT
        return self._numbered[number - 1] if number else self.rows[""]

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
        names = ("holds", "leaks", "held_ns", "busy")
        rows = self._numbered
        return Counter({(row.name, name): getattr(row, name) for row in rows for name in names})

    def add(self, source: HolderTable) -> None:
        """Add the numbers of another table."""
        for row in source._numbered:
            target = self._find(row.name)
            target.holds += row.holds
            target.leaks += row.leaks
            target.held_ns += row.held_ns
            target.busy += row.busy
            self._store(target)
        self._take_names(source)
        self._slots[_BUSY_SINCE] = max(self._slots[_BUSY_SINCE], source._slots[_BUSY_SINCE])

    def take_statements(self, source: HolderTable, now_ns: int) -> None:
        """Take over running statements. In the source they end now, and begin here."""
        self._take_names(source)
        begin = BUSY_ONE - (now_ns >> BUSY_UNIT_SHIFT)
        for row in source._numbered:
            running, row.busy = divmod(row.busy, begin)
            source._store(row)
            if running:
                target = self._find(row.name)
                target.busy += running * begin
                self._store(target)
        self._slots[_BUSY_SINCE] = now_ns

    def take_details(self, source: HolderTable) -> None:
        """Copy what is known about the connections that are out, after their holders."""
        details = self._slots[HELD + TO_DETAILS :][:HELD_CAPACITY].cast("B")
        details[:] = bytes(len(details))
        for slot in source._list_out():
            detail = source._slots[slot + TO_DETAILS]
            if detail:
                self._slots[slot + TO_DETAILS] = self._translate(detail, source)

    def _translate(self, detail: int, source: HolderTable) -> int:
        row = source._numbered[(detail >> HOLDER_SHIFT) - 1]
        site = detail >> CALL_SITE_SHIFT & 0xFFFF
        place = self._add_site(source._numbered_sites[site - 1]) if site else 0
        return self._find(row.name).detail | place | detail & _THREAD

    def _take_names(self, source: HolderTable) -> None:
        """Make the names under which connections are out lead to a row, such as that of OTHER."""
        rows = {source.find_row(slot) for slot in source._list_out()}
        if source._slots[HELD_OVERFLOWED]:  # whose these are is not known
            rows.update(source.rows.values())
        for name, row in source.rows.items():
            if row in rows and name:
                self.rows[name] = self._find(row.name)

    def _list_out(self) -> list[int]:
        """Return the slots of connections that are out."""
        held = self._slots[HELD:][:HELD_CAPACITY].tolist()
        return [slot for slot, start_ns in enumerate(held, HELD) if 0 < start_ns < ENDED]

    def _store(self, row: HolderRow) -> None:
        self._slots[row.held_slot] = row.held_ns
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
        if site not in self._sites:
            line = _clean(site, CALL_SITE_BYTES)
            if not self._site_lines.has_room(line):
                return 0
            self._numbered_sites.append(site)
            self._site_lines.append(line)
            self._sites[site] = len(self._numbered_sites) << CALL_SITE_SHIFT
        return self._sites[site]


def _clean(text: str, longest: int = HOLDER_NAME_BYTES) -> str:
    """Return a text as one short line."""
    if text.isprintable() and len(text.encode()) <= longest:
        return text
    printable = "".join(each if each.isprintable() else "\ufffd" for each in text)
    return printable.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
