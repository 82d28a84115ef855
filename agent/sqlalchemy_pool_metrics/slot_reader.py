"""Read a snapshot from the slots of a block, also from those of another version's layout."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest

from .layout import (
    ACTIVE,
    ADDITIVE_SLOTS,
    BUSY,
    BUSY_SINCE,
    BUSY_UNIT_SHIFT,
    CALL_SITE_BYTES,
    CALL_SITE_SHIFT,
    CHECKED_OUT_PEAKS,
    CONNECTIONS,
    COUNTERS,
    ENDED,
    HELD,
    HELD_OVERFLOWED,
    HISTOGRAM_SLOTS,
    HOLD_SUM,
    HOLDER_HELD,
    HOLDER_NAME_BYTES,
    HOLDER_SHIFT,
    PEAK_REACH,
    PENDING_PEAKS,
    SATURATED,
    SLOT,
    TABLE,
    WAITING,
    WAITING_OVERFLOWED,
    WINDOW_SHIFT,
    Region,
    SlotTable,
    read_busy,
)
from .snapshot import (
    HolderNumbers,
    OverdueHold,
    PoolDescription,
    Snapshot,
    keep_counters,
    sort_by_age,
)

__all__ = ["DEFAULT_OVERDUE_NS", "read_snapshot"]

DEFAULT_OVERDUE_NS = 300 * 10**9
"""A connection that is out for longer is overdue."""
MAX_CACHED_BYTES = 4096
"""The texts of a process are shorter. A longer one in a foreign file must not fill the cache."""

_WAIT_SUM = HISTOGRAM_SLOTS["wait"].sum
_HELD_USED, _WAITING_USED = SLOT["held_used"], SLOT["waiting_used"]
_WAITING_END = WAITING + TABLE.regions["waiting"].length
_SATURATED_NS = SLOT["saturated_ns"]
_INFINITE_NS = 1 << 64


def read_snapshot(
    pool: PoolDescription,
    slots: memoryview,
    now_ns: int,
    table: SlotTable = TABLE,
    lag_ns: int = 0,
    overdue_ns: int = DEFAULT_OVERDUE_NS,
) -> Snapshot:
    """Return the snapshot of one block.

    Args:
        pool: The description of the pool.
        slots: A copy of the block's slots.
        now_ns: The monotonic time. Later start times (of another clock or a damaged block) count as
            now.
        table: Where each slot lies.
        lag_ns: Operations in flight count until this long before now. A process whose lock the
            reader does not hold may have read the clock for an end that it has not stored yet;
            without the lag a counter could fall.
        overdue_ns: A connection that has been out for longer is overdue.
    """
    additive, active, connections, busy_since, overflowed, tables, peaks = (
        _sort_own(slots) if table is TABLE else _sort(slots, table)
    )
    names = _read_lines(slots, table, "holder_names", HOLDER_NAME_BYTES)
    if names and "held" in table.regions:  # `retired` has the time of holders in the histogram
        additive[HOLD_SUM] += sum(table.read(slots, "holder_held_ns")[: len(names)])
    held_ns = additive[HOLD_SUM]
    saturated = _pick_running(tables[0], additive, _SATURATED_NS)
    held = _pick_running(tables[1], additive, HOLD_SUM)
    waiting = _pick_running(tables[2], additive, _WAIT_SUM)
    until_ns = now_ns - lag_ns
    busy, additive[BUSY] = read_busy(additive[BUSY], max(until_ns, busy_since))
    oldest = (now_ns >> WINDOW_SHIFT) - PEAK_REACH << WINDOW_SHIFT
    checked_out, pending_checkouts = len(held) + overflowed[0], len(waiting) + overflowed[1]
    checked_in = max(0, connections - checked_out)
    snapshot = Snapshot(  # by position: to pass so many keywords, Python makes a dict of them
        pool,
        1,
        tuple(additive),
        1,
        checked_in,
        busy,
        checked_out,
        _read_peak(peaks[0], checked_out, oldest),
        _sum_running(held, until_ns) if held else 0,
        pending_checkouts,
        _read_peak(peaks[1], pending_checkouts, oldest),
        _sum_running(waiting, until_ns) if waiting else 0,
        _sum_running(saturated, until_ns) if saturated else 0,
        1 if saturated else 0,
        max(0, now_ns - held[0]) if held else 0,
        None if pool.size is None else max(0, checked_in + checked_out - pool.size),
        _read_holders(slots, table, names, until_ns, held_ns) if names else (),
        (),
        _read_overdue(slots, table, now_ns, overdue_ns)
        if held and held[0] < now_ns - overdue_ns
        else (),
    )
    return snapshot if active else keep_counters(snapshot)


_Slots = Sequence[int]
_Sorted = tuple[
    list[int], int, int, int, tuple[int, int], tuple[_Slots, _Slots, _Slots], tuple[_Slots, _Slots]
]
"""Of a block: the additive slots; active; connections; busy_since; what is held and waiting beyond
the tables; the used parts of the tables saturated, held and waiting; the two rings of peaks."""


def _sort_own(slots: memoryview) -> _Sorted:
    """Sort slots in our own layout. A scrape does this for every pool of every process."""
    head = slots[:HOLDER_HELD].tolist()
    held_used, waiting_used = head[_HELD_USED], head[_WAITING_USED]
    held = slots[HELD : min(HELD + held_used, WAITING)].tolist() if held_used else ()
    waiting = (
        slots[WAITING : min(WAITING + waiting_used, _WAITING_END)].tolist() if waiting_used else ()
    )
    found = (
        head,
        head[ACTIVE],
        head[CONNECTIONS],
        head[BUSY_SINCE],
        (head[HELD_OVERFLOWED], head[WAITING_OVERFLOWED]),
        (head[SATURATED:CHECKED_OUT_PEAKS], held, waiting),
        (head[CHECKED_OUT_PEAKS:PENDING_PEAKS], head[PENDING_PEAKS:]),
    )
    del head[ADDITIVE_SLOTS:]
    return found


def _sort(slots: memoryview, table: SlotTable) -> _Sorted:
    """Sort slots in another version's layout; what it lacks is 0 or empty."""
    held = table.read(slots, "held")[: table.read_one(slots, "held_used")]
    waiting = table.read(slots, "waiting")[: table.read_one(slots, "waiting_used")]
    return (
        _translate(slots, table),
        table.read_one(slots, "active"),
        table.read_one(slots, "connections"),
        table.read_one(slots, "busy_since"),
        (table.read_one(slots, "held_spilled"), table.read_one(slots, "waiting_spilled")),
        (table.read(slots, "saturated"), held, waiting),
        (table.read(slots, "checked_out_peaks"), table.read(slots, "pending_peaks")),
    )


def _pick_running(slots: _Slots, additive: list[int], total: int) -> _Slots:
    """Return the start times of operations in flight, the oldest first, from a table's slots.

    The highest total of an ended operation replaces `additive[total]` if its process has not stored
    it there yet.
    """
    running = []
    for slot in filter(None, slots):
        if slot < ENDED:
            running.append(slot)
        elif slot - ENDED > additive[total]:
            additive[total] = slot - ENDED
    running.sort()
    return running


def _sum_running(starts: _Slots, now_ns: int) -> int:
    """Return the sum of the times for which operations have been in flight."""
    if starts[-1] <= now_ns:
        return len(starts) * now_ns - sum(starts)
    return sum([now_ns - start for start in starts if start < now_ns])


def _read_holders(
    slots: memoryview, table: SlotTable, names: Sequence[str], until_ns: int, held_ns: int
) -> tuple[HolderNumbers, ...]:
    """Return the numbers of each holder.

    Args:
        slots: A copy of the block's slots.
        table: Where each slot lies.
        names: The holders.
        until_ns: The time until which operations in flight count.
        held_ns: The sum of the parts of the total of `held`.
    """
    missing = [0] * len(names)
    parts = [0, *(table.read(slots, "holder_held_ns") or missing)[: len(names)]]
    connections = _complete_parts(parts, slots, table, until_ns, held_ns)
    busy_until_ns = max(until_ns, table.read_one(slots, "holder_busy_since"))
    return tuple(
        HolderNumbers(
            name, out, holds, time_ns, read_busy(busy, busy_until_ns)[1] << BUSY_UNIT_SHIFT, leaks
        )
        for name, out, holds, time_ns, busy, leaks in zip(
            names,
            connections[1:],
            table.read(slots, "holder_holds"),
            parts[1:],
            table.read(slots, "holder_busy") or missing,
            table.read(slots, "holder_leaks") or missing,
        )
    )


def _complete_parts(
    parts: list[int], slots: memoryview, table: SlotTable, until_ns: int, held_ns: int
) -> list[int]:
    """Add what is in flight, and what its process has not stored yet, to the parts of a total.

    Returns:
        The connections of each part. The first part is that of connections without a holder.
    """
    connections = [0] * len(parts)
    not_stored = []
    held = table.read(slots, "held")[: table.read_one(slots, "held_used")]
    for slot, detail in zip(held, table.read(slots, "held_details")):
        number = detail >> HOLDER_SHIFT
        number = number if number < len(parts) else 0
        if 0 < slot < ENDED:
            connections[number] += 1
            parts[number] += max(0, until_ns - slot)
        elif slot - ENDED > held_ns:
            not_stored.append((slot - ENDED, number))
    for total_ns, number in sorted(not_stored):
        parts[number] += total_ns - held_ns
        held_ns = total_ns
    return connections


def _read_overdue(
    slots: memoryview, table: SlotTable, now_ns: int, overdue_ns: int
) -> tuple[OverdueHold, ...]:
    held = table.read(slots, "held")[: table.read_one(slots, "held_used")]
    details = table.read(slots, "held_details")
    names = _read_lines(slots, table, "holder_names", HOLDER_NAME_BYTES)
    sites = _read_lines(slots, table, "call_sites", CALL_SITE_BYTES)
    return sort_by_age(
        _build_overdue(now_ns - since, detail, names, sites)
        for since, detail in zip_longest(held, details, fillvalue=0)
        if 0 < since < now_ns - overdue_ns
    )


def _build_overdue(
    age_ns: int, detail: int, names: Sequence[str], sites: Sequence[str]
) -> OverdueHold:
    place, _, function = _pick_line(sites, detail >> CALL_SITE_SHIFT & 0xFFFF).rpartition(" ")
    file, _, line = place.rpartition(":")
    return OverdueHold(
        holder=_pick_line(names, detail >> HOLDER_SHIFT),
        age_ns=age_ns,
        file=file,
        line=int(line) if line.isdecimal() else 0,
        function=function,
        thread=detail & 0xFFFFFFFF,
    )


def _pick_line(lines: Sequence[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _read_lines(slots: memoryview, table: SlotTable, name: str, longest: int) -> Sequence[str]:
    """Return the lines of a text region; empty if there is no such region."""
    used = table.read_one(slots, f"{name}_used")
    region = table.regions.get(name)
    if not used or region is None:
        return ()
    text = bytes(slots[region.offset : region.offset + region.length])[:used]
    split = _split_lines if len(text) <= MAX_CACHED_BYTES else _split_lines.__wrapped__
    return split(text, longest)


@lru_cache(maxsize=512)
def _split_lines(text: bytes, longest: int) -> list[str]:
    """Return lines as we write them. Cached: the processes of one program have the same ones."""
    lines = text.decode("utf-8", "replace").split("\n")[:-1]
    return [_replace_unprintable(line[:longest]) for line in lines]


def _replace_unprintable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else "\ufffd" for each in text])


def _read_peak(ring: _Slots, current: int, oldest: int) -> int:
    """Return the highest value since `oldest`; in a window without an event it was `current`."""
    for entry in filter(None, ring):
        if entry >= oldest and entry & 0xFFFFFFFF > current:
            current = entry & 0xFFFFFFFF
    return current


def _translate(slots: memoryview, table: SlotTable) -> list[int]:
    """Return the additive slots of another version's block in our order.

    Counters and histograms that only one of the versions has are left out, or 0. A bucket that we
    do not have counts in the next higher one that we have.
    """
    additive = [0] * ADDITIVE_SLOTS
    for name in COUNTERS:
        additive[SLOT[name]] = table.read_one(slots, name) if _has(table, name, "counter") else 0
    for name, (first, total, bounds_ns) in HISTOGRAM_SLOTS.items():
        if _has(table, name, "histogram"):
            region = table.regions[name]
            *counts, additive[total] = table.read(slots, name)
            for bound_ns, count in zip((*region.bounds_ns, _INFINITE_NS), counts):
                additive[first + bisect_left(bounds_ns, bound_ns)] += count
    return additive


def _has(table: SlotTable, name: str, kind: str) -> bool:
    region: Region | None = table.regions.get(name)
    return region is not None and region.kind == kind
