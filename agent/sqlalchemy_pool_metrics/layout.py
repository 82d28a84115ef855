"""The slots of a block: what each 64-bit number of a pool means.

It must not know where a block lives (private memory or a mapped file) nor anything of SQLAlchemy.

A block is a row of unsigned 64-bit slots, each written by one process and read by any. A slot is
the unit of consistency: an aligned 8-byte store is never torn, but two slots may be one event
apart. What must agree is therefore derived from the same slots: the count of a histogram is the
sum of its buckets, `checkouts_total` is the count of `checkout_duration_seconds`, and a connection
that is out is one slot, its start time, from which come `checked_out`, the oldest age and what is
still running of `checked_out_seconds_total`.

    slots                    what
    counters                 see COUNTERS: plain u64, only ever added to
    4 histograms             buckets (not cumulative, the last is +Inf), then their sum in ns
    active                   1 while a pool uses the block; else only its counters mean something
    checked_in               gauge: live idle connections
    held_spilled             gauge: connections out beyond the table of held connections
    waiting_spilled          gauge: waiters beyond the table of waiters
    held_used, waiting_used  how much of the tables was ever used
    saturated                table: since when every allowed connection is out
    checked_out_peaks        ring of 16 windows: window number << 32 | highest value in it
    pending_peaks            the same for waiters
    held                     table: a slot per connection that is out, since when
    waiting                  table: a slot per waiter, since when

A slot of a table holds the monotonic ns at which something began, or 0, or, once it is over,
ENDED | the total of all that are over, this one included. That total is stored into its own slot
(the sum of a histogram, or `saturated_ns`) right afterwards. So what was running becomes part of
the total in one store, and whoever reads, also of a writer that was killed between the two stores,
takes the highest of these totals and never sees a duration twice or not at all. The totals lie
before the tables, because a copy is made in this order, and a slot is not used again at once.

All times are of CLOCK_MONOTONIC, which every process of a host shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CHECKOUT_FAILURE_REASONS", "CLOSE_REASONS", "HISTOGRAMS", "INVALIDATION_KINDS"]

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
    # What was still running of holds and waits when their process ended.
    "unfinished_checked_out_ns",
    "unfinished_pending_ns",
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

GAUGES = ("active", "checked_in", "held_spilled", "waiting_spilled", "held_used", "waiting_used")
SATURATED_CAPACITY = 4
HELD_CAPACITY = 192
"""Connections out of one pool in one process whose start times are kept; see `held_spilled`."""
WAITING_CAPACITY = 96
PEAK_WINDOWS = 16
WINDOW_SHIFT = 32
"""A window of the peak rings is 2**32 ns, 4.29 s, so that its number is one shift away."""
PEAK_REACH = 14
"""Windows before the current one that count: at least 60 s."""
ENDED = 1 << 63


class HistogramSlots(NamedTuple):
    """Where a histogram lies: the first bucket, the slot of the sum, the bounds in nanoseconds."""

    first: int
    sum: int
    bounds_ns: tuple[int, ...]


@dataclass(frozen=True)
class Region:
    """Slots that belong together: `kind` is counter, histogram, gauge, peaks or table."""

    name: str
    kind: str
    offset: int
    length: int = 1
    bounds_ns: tuple[int, ...] = ()


class SlotTable:
    """The regions of a block by name: ours, or those that a file of another version describes."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = {region.name: region for region in regions}
        self.slots = max((each.offset + each.length for each in regions), default=0)

    def read(self, row: memoryview, name: str) -> list[int]:
        """The slots of a region; none when there is no such region."""
        region = self.regions.get(name)
        if region is None:
            return []
        return row[region.offset : region.offset + region.length].tolist()

    def read_one(self, row: memoryview, name: str) -> int:
        """The only slot of a region; 0 when there is no such region."""
        region = self.regions.get(name)
        return 0 if region is None else row[region.offset]


def _place() -> list[Region]:
    sized: list[tuple[str, str, int, tuple[int, ...]]] = [
        *((name, "counter", 1, ()) for name in COUNTERS),
        *(
            (name, "histogram", len(bounds) + 2, tuple(round(bound * 1e9) for bound in bounds))
            for name, bounds in HISTOGRAMS.items()
        ),
        *((name, "gauge", 1, ()) for name in GAUGES),
        ("saturated", "table", SATURATED_CAPACITY, ()),
        ("checked_out_peaks", "peaks", PEAK_WINDOWS, ()),
        ("pending_peaks", "peaks", PEAK_WINDOWS, ()),
        ("held", "table", HELD_CAPACITY, ()),
        ("waiting", "table", WAITING_CAPACITY, ()),
    ]
    regions, offset = [], 0
    for name, kind, length, bounds_ns in sized:
        regions.append(Region(name, kind, offset, length, bounds_ns))
        offset += length
    return regions


TABLE = SlotTable(_place())
SLOT = {name: region.offset for name, region in TABLE.regions.items()}
HISTOGRAM_SLOTS = {
    name: HistogramSlots(
        SLOT[name], SLOT[name] + TABLE.regions[name].length - 1, TABLE.regions[name].bounds_ns
    )
    for name in HISTOGRAMS
}
ACTIVE = ADDITIVE_SLOTS = SLOT["active"]
"""The slots below this index only grow and may be added over processes."""
CHECKED_IN, HELD_OVERFLOWED, WAITING_OVERFLOWED = (
    SLOT[name] for name in ("checked_in", "held_spilled", "waiting_spilled")
)
SATURATED, CHECKED_OUT_PEAKS, PENDING_PEAKS, HELD, WAITING = (
    SLOT[name] for name in ("saturated", "checked_out_peaks", "pending_peaks", "held", "waiting")
)
BLOCK_SLOTS = TABLE.slots
