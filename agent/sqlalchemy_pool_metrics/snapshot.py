"""Snapshots: what one pool did and does, read from a block, added up over processes.

One shape of data carries everything from the slots to /metrics. It must not know where blocks live.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

from .layout import (
    ACTIVE,
    ADDITIVE_SLOTS,
    CHECKED_IN,
    CHECKED_OUT_PEAKS,
    COUNTERS,
    ENDED,
    HELD,
    HELD_OVERFLOWED,
    HISTOGRAM_SLOTS,
    HISTOGRAMS,
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
)

__all__ = ["Histogram", "PoolDescription", "Snapshot", "keep_counters", "merge", "read_snapshot"]

MAX_CONNECTIONS = 1 << 31
MAX_COUNT = 1 << 62
_HOLD_SUM, _WAIT_SUM = HISTOGRAM_SLOTS["hold"].sum, HISTOGRAM_SLOTS["wait"].sum
_HELD_USED, _WAITING_USED = SLOT["held_used"], SLOT["waiting_used"]
_SATURATED_NS = SLOT["saturated_ns"]
_UNFINISHED_CHECKED_OUT_NS = SLOT["unfinished_checked_out_ns"]
_UNFINISHED_PENDING_NS = SLOT["unfinished_pending_ns"]


@dataclass(frozen=True)
class PoolDescription:
    """What a pool is, as told once: never a password, a user or anything of the app's data.

    `size` and `max_connections` are None where the pool knows no such limit. `waits` tells
    whether callers can block on an empty queue (the queue pools).
    """

    name: str = "default"
    application: str = ""
    pool_class: str = ""
    dialect: str = ""
    driver: str = ""
    host: str = ""
    port: int | None = None
    database: str = ""
    size: int | None = None
    max_connections: int | None = None
    waits: bool = False

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes two pools, of one process or of several, the same to whoever reads."""
        return (self.application, self.name, self.dialect, self.host, self.port, self.database)


@dataclass(frozen=True)
class Histogram:
    """Durations in seconds: non-cumulative bucket counts, the last one beyond every bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum_seconds: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """The pairs (upper bound, observations up to it), as Prometheus wants them."""
        return list(zip((*self.bounds, float("inf")), accumulate(self.counts)))


@dataclass(frozen=True)
class Snapshot:
    """What one pool did and does, of one process or of several merged.

    Gauges are connections or waiters, `_ns` are nanoseconds. `additive` are the counters and
    histograms in the order of the slots; the methods and properties read them by name. `running`
    is how long what is not over has lasted. `processes` is 0 where only counters are left.
    """

    pool: PoolDescription
    processes: int
    additive: tuple[int, ...]
    checked_in: int = 0
    checked_out: int = 0
    checked_out_peak: int = 0
    running_checked_out_ns: int = 0
    pending_checkouts: int = 0
    pending_checkouts_peak: int = 0
    running_pending_ns: int = 0
    running_saturated_ns: int = 0
    oldest_checkout_ns: int = 0
    overflow: int | None = None
    """Connections beyond the size, never negative; None where there is no size."""

    @property
    def size(self) -> int | None:
        return self.pool.size

    @property
    def max_connections(self) -> int | None:
        return self.pool.max_connections

    @property
    def checkouts(self) -> int:
        return self.histogram("checkout").count

    @property
    def connections_opened(self) -> int:
        return self.histogram("connect").count

    @property
    def checked_out_ns(self) -> int:
        """The integral of `checked_out` over time."""
        finished = self.additive[_HOLD_SUM] + self.additive[_UNFINISHED_CHECKED_OUT_NS]
        return finished + self.running_checked_out_ns

    @property
    def pending_ns(self) -> int:
        """The integral of `pending_checkouts` over time."""
        finished = self.additive[_WAIT_SUM] + self.additive[_UNFINISHED_PENDING_NS]
        return finished + self.running_pending_ns

    @property
    def saturated_ns(self) -> int:
        """The time with every allowed connection out."""
        return self.additive[_SATURATED_NS] + self.running_saturated_ns

    @property
    def is_sane(self) -> bool:
        """Whether a pool can have these numbers: connections, and a life's worth of counts."""
        return (
            self.checked_in <= MAX_CONNECTIONS
            and self.checked_out <= MAX_CONNECTIONS
            and self.pending_checkouts <= MAX_CONNECTIONS
            and sum(self.additive) <= MAX_COUNT
        )

    def counter(self, name: str) -> int:
        """The counter of that name in COUNTERS."""
        return self.additive[SLOT[name]]

    def histogram(self, name: str) -> Histogram:
        """The histogram of that name in HISTOGRAMS."""
        first, total, _ = HISTOGRAM_SLOTS[name]
        return Histogram(HISTOGRAMS[name], self.additive[first:total], self.additive[total] / 1e9)


def _build(**values: Any) -> Snapshot:
    """A snapshot, in a third of the time: a frozen dataclass sets one value after the other."""
    snapshot = object.__new__(Snapshot)
    snapshot.__dict__.update(values)
    return snapshot


def read_snapshot(
    pool: PoolDescription,
    row: memoryview,
    now_ns: int,
    table: SlotTable = TABLE,
    lag_ns: int = 0,
) -> Snapshot:
    """The snapshot of one block at the monotonic time `now_ns`.

    `row` is a copy of the block's slots, which lie as `table` says. Start times in the future
    (another clock, a damaged block) count as now. What is running counts up to `lag_ns` before
    now: a writer without whose lock the row was copied may have read the clock for its end, and
    not have stored it yet, and no counter may ever fall.
    """
    additive, active, checked_in, spilled, tables, peaks = (
        _sort_own(row) if table is TABLE else _sort(row, table)
    )
    saturated = _pick_running(tables[0], additive, _SATURATED_NS)
    held = _pick_running(tables[1], additive, _HOLD_SUM)
    waiting = _pick_running(tables[2], additive, _WAIT_SUM)
    until_ns = now_ns - lag_ns
    oldest = (now_ns >> WINDOW_SHIFT) - PEAK_REACH << WINDOW_SHIFT
    checked_out, pending = len(held) + spilled[0], len(waiting) + spilled[1]
    snapshot = _build(
        pool=pool,
        processes=1,
        additive=tuple(additive),
        checked_in=checked_in,
        checked_out=checked_out,
        checked_out_peak=_read_peak(peaks[0], checked_out, oldest),
        running_checked_out_ns=_running(held, until_ns) if held else 0,
        pending_checkouts=pending,
        pending_checkouts_peak=_read_peak(peaks[1], pending, oldest),
        running_pending_ns=_running(waiting, until_ns) if waiting else 0,
        running_saturated_ns=_running(saturated, until_ns) if saturated else 0,
        oldest_checkout_ns=max(0, now_ns - min(held)) if held else 0,
        overflow=None if pool.size is None else max(0, checked_in + checked_out - pool.size),
    )
    return snapshot if active else keep_counters(snapshot)


_Slots = Sequence[int]
_Sorted = tuple[
    list[int], int, int, tuple[int, int], tuple[_Slots, _Slots, _Slots], tuple[_Slots, _Slots]
]
"""Of a block: the additive slots, active, checked_in, what is held and waiting beyond the tables;
the tables saturated, held and waiting, as much as was ever used; the two rings of peaks."""


def _sort_own(row: memoryview) -> _Sorted:
    """Of our own layout; a scrape does this for every pool of every process."""
    head = row[:HELD].tolist()
    held_used, waiting_used = head[_HELD_USED], head[_WAITING_USED]
    held = row[HELD : min(HELD + held_used, WAITING)].tolist() if held_used else ()
    waiting = row[WAITING : WAITING + waiting_used].tolist() if waiting_used else ()
    return (
        head[:ADDITIVE_SLOTS],
        head[ACTIVE],
        head[CHECKED_IN],
        (head[HELD_OVERFLOWED], head[WAITING_OVERFLOWED]),
        (head[SATURATED:CHECKED_OUT_PEAKS], held, waiting),
        (head[CHECKED_OUT_PEAKS:PENDING_PEAKS], head[PENDING_PEAKS:]),
    )


def _sort(row: memoryview, table: SlotTable) -> _Sorted:
    """Of another version's layout: what it lacks is 0 or empty."""
    held = table.read(row, "held")[: table.read_one(row, "held_used")]
    waiting = table.read(row, "waiting")[: table.read_one(row, "waiting_used")]
    return (
        _translate(row, table),
        table.read_one(row, "active"),
        table.read_one(row, "checked_in"),
        (table.read_one(row, "held_spilled"), table.read_one(row, "waiting_spilled")),
        (table.read(row, "saturated"), held, waiting),
        (table.read(row, "checked_out_peaks"), table.read(row, "pending_peaks")),
    )


def _pick_running(slots: _Slots, additive: list[int], total: int) -> _Slots:
    """The start times of what is running among the slots of a table.

    What is over raises the slot `total` of the additive ones, if that was not done yet.
    """
    highest = max(slots) if slots else 0
    if not highest:
        return ()
    if highest < ENDED:
        return [slot for slot in slots if slot]
    if highest - ENDED > additive[total]:
        additive[total] = highest - ENDED
    return [slot for slot in slots if 0 < slot < ENDED]


def _running(starts: _Slots, now_ns: int) -> int:
    if max(starts) <= now_ns:
        return len(starts) * now_ns - sum(starts)
    return sum([now_ns - start for start in starts if start < now_ns])


def _read_peak(ring: _Slots, current: int, oldest: int) -> int:
    """The highest value since `oldest`: windows without an event had the current value."""
    if not ring or max(ring) < oldest:
        return current
    recent = max([entry & 0xFFFFFFFF for entry in ring if entry >= oldest])
    return recent if recent > current else current


def _translate(row: memoryview, table: SlotTable) -> list[int]:
    """The additive slots in our order, from a block of another version.

    Counters and histograms that only one of the two versions knows are left out or 0. The counts
    of a bucket that we do not have are those of the next higher one that we have.
    """
    additive = [0] * ADDITIVE_SLOTS
    for name in COUNTERS:
        additive[SLOT[name]] = table.read_one(row, name) if _is(table, name, "counter") else 0
    for name, (first, total, bounds_ns) in HISTOGRAM_SLOTS.items():
        if _is(table, name, "histogram"):
            region = table.regions[name]
            *counts, additive[total] = table.read(row, name)
            for bound_ns, count in zip((*region.bounds_ns, _INFINITE_NS), counts):
                additive[first + bisect_left(bounds_ns, bound_ns)] += count
    return additive


_INFINITE_NS = 1 << 64


def _is(table: SlotTable, name: str, kind: str) -> bool:
    region: Region | None = table.regions.get(name)
    return region is not None and region.kind == kind


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """One snapshot for several processes of the same pool (at least one).

    Everything is added, sizes and limits too; the sum of the peaks is an upper bound of the peak
    of the sum. The oldest age is the maximum. The description is the first one's.
    """
    first = snapshots[0]
    if len(snapshots) == 1:
        return first
    return Snapshot(
        pool=replace(
            first.pool,
            size=_total(s.pool.size for s in snapshots if s.processes),
            max_connections=_total(s.pool.max_connections for s in snapshots if s.processes),
        ),
        processes=sum(s.processes for s in snapshots),
        additive=tuple(map(sum, zip(*(s.additive for s in snapshots)))),
        checked_in=sum(s.checked_in for s in snapshots),
        checked_out=sum(s.checked_out for s in snapshots),
        checked_out_peak=sum(s.checked_out_peak for s in snapshots),
        running_checked_out_ns=sum(s.running_checked_out_ns for s in snapshots),
        pending_checkouts=sum(s.pending_checkouts for s in snapshots),
        pending_checkouts_peak=sum(s.pending_checkouts_peak for s in snapshots),
        running_pending_ns=sum(s.running_pending_ns for s in snapshots),
        running_saturated_ns=sum(s.running_saturated_ns for s in snapshots),
        oldest_checkout_ns=max(s.oldest_checkout_ns for s in snapshots),
        overflow=_total(s.overflow for s in snapshots if s.processes),
    )


def keep_counters(snapshot: Snapshot) -> Snapshot:
    """What is left of a process or pool that is gone: its counters, and no process, no gauge.

    What was running when it went counts up to the time of the snapshot: when exactly it went
    nobody knows, and a counter must never fall below what was seen of it while it was alive.
    """
    additive = list(snapshot.additive)
    additive[_UNFINISHED_CHECKED_OUT_NS] += snapshot.running_checked_out_ns
    additive[_UNFINISHED_PENDING_NS] += snapshot.running_pending_ns
    additive[_SATURATED_NS] += snapshot.running_saturated_ns
    return _build(pool=_without_limits(snapshot.pool), processes=0, additive=tuple(additive))


@lru_cache(maxsize=1024)
def _without_limits(pool: PoolDescription) -> PoolDescription:
    """What a pool is when nothing of it is left; many processes have the same one."""
    return replace(pool, size=None, max_connections=None)


def _total(values: Iterable[int | None]) -> int | None:
    """The sum; None when one of them is unlimited, or when there is none."""
    known = list(values)
    limited = [value for value in known if value is not None]
    return sum(limited) if known and len(limited) == len(known) else None
