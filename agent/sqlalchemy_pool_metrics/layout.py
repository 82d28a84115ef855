"""The slots of a block: what each 64-bit number of a pool means, and how blocks become snapshots.

It must not know where a block lives (private memory or a mapped file) nor anything of SQLAlchemy.

A block is a row of unsigned 64-bit slots, each written by one process and read by any. A slot is
the unit of consistency: an aligned 8-byte store is never torn, but two slots may be one event
apart. What must agree is therefore derived from the same slots: the count of a histogram is the
sum of its buckets, `checkouts_total` is the count of `checkout_duration_seconds`, and a connection
that is out is one slot, its start time, from which come `checked_out`, the oldest age and what is
still running of `checked_out_seconds_total`.

    slot                     what
    counters                 see COUNTERS: plain u64, only ever added to
    4 histograms             buckets (not cumulative, the last is +Inf), then their sum in ns
    checked_in               gauge: live idle connections
    held_spilled             gauge: connections out beyond the table of held connections
    waiting_spilled          gauge: waiters beyond the table of waiters
    saturated_since          monotonic ns since when every allowed connection is out, or 0
    peaks of checked_out     ring of 16 windows: window number << 32 | highest value in it
    peaks of pending         the same for waiters
    held                     a slot per connection that is out: monotonic ns of its checkout, or 0
    waiting                  a slot per waiter: monotonic ns since when it waits, or 0

All times are of CLOCK_MONOTONIC, which every process of a host shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import add
from typing import NamedTuple

__all__ = [
    "CHECKOUT_FAILURE_REASONS",
    "CLOSE_REASONS",
    "HISTOGRAMS",
    "INVALIDATION_KINDS",
    "Histogram",
    "PoolDescription",
    "Snapshot",
    "keep_counters",
    "merge",
    "read_snapshot",
]

CHECKOUT_FAILURE_REASONS = ("timeout", "cancelled", "error")
INVALIDATION_KINDS = ("hard", "soft")
CLOSE_REASONS = (
    "overflow",
    "recycle",
    "pre_ping",
    "invalidated",
    "soft_invalidated",
    "pool_invalidated",
    "dispose",
    "detached",
    "reset_failed",
    "leaked",
    "other",
)

COUNTERS = (
    *(f"checkout_failures_{reason}" for reason in CHECKOUT_FAILURE_REASONS),
    "connection_failures",
    *(f"connections_closed_{reason}" for reason in CLOSE_REASONS),
    *(f"invalidations_{kind}" for kind in INVALIDATION_KINDS),
    "leaked_connections",
    "saturated_ns",
)

# Upper bounds in seconds, as docs/metrics.md pins them.
# fmt: off
_WAIT_BOUNDS = (
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)
HISTOGRAMS: dict[str, tuple[float, ...]] = {
    "checkout": _WAIT_BOUNDS,
    "wait": _WAIT_BOUNDS,
    "connect": (
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
        0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ),
    "hold": (
        0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
        1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    ),
}
# fmt: on

HELD_CAPACITY = 192
"""Connections out of one pool in one process whose start times are kept; see `held_spilled`."""
WAITING_CAPACITY = 96
PEAK_WINDOWS = 16
WINDOW_SHIFT = 32
"""A window of the peak rings is 2**32 ns, 4.29 s, so that its number is one shift away."""
PEAK_REACH = 14
"""Windows before the current one that count: at least 60 s."""


class HistogramSlots(NamedTuple):
    """Where a histogram lies: the first bucket, the slot of the sum, the bounds in nanoseconds."""

    first: int
    sum: int
    bounds_ns: tuple[int, ...]


def _place_histograms(start: int) -> dict[str, HistogramSlots]:
    placed = {}
    for name, bounds in HISTOGRAMS.items():
        end = start + len(bounds) + 1
        placed[name] = HistogramSlots(start, end, tuple(round(b * 1e9) for b in bounds))
        start = end + 1
    return placed


SLOT = {name: index for index, name in enumerate(COUNTERS)}
HISTOGRAM_SLOTS = _place_histograms(len(COUNTERS))
ADDITIVE_SLOTS = HISTOGRAM_SLOTS["hold"].sum + 1
"""The slots below this index only grow and may be added over processes."""
CHECKED_IN, HELD_SPILLED, WAITING_SPILLED, SATURATED_SINCE, CHECKED_OUT_PEAKS = range(
    ADDITIVE_SLOTS, ADDITIVE_SLOTS + 5
)
PENDING_PEAKS = CHECKED_OUT_PEAKS + PEAK_WINDOWS
HELD = PENDING_PEAKS + PEAK_WINDOWS
WAITING = HELD + HELD_CAPACITY
BLOCK_SLOTS = WAITING + WAITING_CAPACITY


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
    histograms in the order of the slots; the methods and properties read them by name.
    """

    pool: PoolDescription
    processes: int
    additive: tuple[int, ...]
    checked_in: int
    checked_out: int
    checked_out_peak: int
    checked_out_ns: int
    pending_checkouts: int
    pending_checkouts_peak: int
    pending_ns: int
    saturated_ns: int
    oldest_checkout_ns: int

    @property
    def size(self) -> int | None:
        return self.pool.size

    @property
    def max_connections(self) -> int | None:
        return self.pool.max_connections

    @property
    def overflow(self) -> int | None:
        """Connections beyond the size, never negative; None where there is no size."""
        size = self.pool.size
        return None if size is None else max(0, self.checked_in + self.checked_out - size)

    @property
    def checkouts(self) -> int:
        return self.histogram("checkout").count

    @property
    def connections_opened(self) -> int:
        return self.histogram("connect").count

    def counter(self, name: str) -> int:
        """The counter of that name in COUNTERS."""
        return self.additive[SLOT[name]]

    def histogram(self, name: str) -> Histogram:
        """The histogram of that name in HISTOGRAMS."""
        first, total, _ = HISTOGRAM_SLOTS[name]
        return Histogram(HISTOGRAMS[name], self.additive[first:total], self.additive[total] / 1e9)


def read_snapshot(pool: PoolDescription, slots: Sequence[int], now_ns: int) -> Snapshot:
    """The snapshot of one block at the monotonic time `now_ns`.

    `slots` is a copy or a view of BLOCK_SLOTS numbers. Start times in the future (another
    clock, a damaged block) count as now.
    """
    additive = tuple(slots[:ADDITIVE_SLOTS])
    held = [start for start in slots[HELD:WAITING] if start]
    waiting = [start for start in slots[WAITING:BLOCK_SLOTS] if start]
    checked_out = len(held) + slots[HELD_SPILLED]
    pending = len(waiting) + slots[WAITING_SPILLED]
    saturated_since = slots[SATURATED_SINCE]
    return Snapshot(
        pool=pool,
        processes=1,
        additive=additive,
        checked_in=slots[CHECKED_IN],
        checked_out=checked_out,
        checked_out_peak=_peak(slots[CHECKED_OUT_PEAKS:PENDING_PEAKS], checked_out, now_ns),
        checked_out_ns=additive[HISTOGRAM_SLOTS["hold"].sum] + _running(held, now_ns),
        pending_checkouts=pending,
        pending_checkouts_peak=_peak(slots[PENDING_PEAKS:HELD], pending, now_ns),
        pending_ns=additive[HISTOGRAM_SLOTS["wait"].sum] + _running(waiting, now_ns),
        saturated_ns=additive[SLOT["saturated_ns"]]
        + (_running([saturated_since], now_ns) if saturated_since else 0),
        oldest_checkout_ns=max(0, now_ns - min(held)) if held else 0,
    )


def _running(starts: Iterable[int], now_ns: int) -> int:
    return sum(now_ns - start for start in starts if start < now_ns)


def _peak(ring: Sequence[int], current: int, now_ns: int) -> int:
    """The highest value of the last minute: windows without an event had the current value."""
    oldest = (now_ns >> WINDOW_SHIFT) - PEAK_REACH
    recent = (entry & 0xFFFFFFFF for entry in ring if entry >> WINDOW_SHIFT >= oldest)
    return max(current, max(recent, default=0))


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """One snapshot for several processes of the same pool (at least one).

    Everything is added, sizes and limits too; the sum of the peaks is an upper bound of the peak
    of the sum. The oldest age is the maximum. The description is the first one's.
    """
    first, *others = snapshots
    if not others:
        return first
    total = list(first.additive)
    for snapshot in others:
        total = list(map(add, total, snapshot.additive))
    return Snapshot(
        pool=replace(
            first.pool,
            size=_total(s.pool.size for s in snapshots if s.processes),
            max_connections=_total(s.pool.max_connections for s in snapshots if s.processes),
        ),
        processes=sum(s.processes for s in snapshots),
        additive=tuple(total),
        checked_in=sum(s.checked_in for s in snapshots),
        checked_out=sum(s.checked_out for s in snapshots),
        checked_out_peak=sum(s.checked_out_peak for s in snapshots),
        checked_out_ns=sum(s.checked_out_ns for s in snapshots),
        pending_checkouts=sum(s.pending_checkouts for s in snapshots),
        pending_checkouts_peak=sum(s.pending_checkouts_peak for s in snapshots),
        pending_ns=sum(s.pending_ns for s in snapshots),
        saturated_ns=sum(s.saturated_ns for s in snapshots),
        oldest_checkout_ns=max(s.oldest_checkout_ns for s in snapshots),
    )


def keep_counters(snapshot: Snapshot) -> Snapshot:
    """What is left of a process or pool that is gone: its counters, and no process, no gauge."""
    return replace(
        snapshot,
        pool=replace(snapshot.pool, size=None, max_connections=None),
        processes=0,
        checked_in=0,
        checked_out=0,
        checked_out_peak=0,
        pending_checkouts=0,
        pending_checkouts_peak=0,
        oldest_checkout_ns=0,
    )


def _total(values: Iterable[int | None]) -> int | None:
    """The sum, or None when one of them is unlimited."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
