"""The slots of a block: what each 64-bit number of a pool means.

A block is an array of unsigned 64-bit slots. One process writes it, any process reads it. An
aligned 8-byte store is never torn, but two slots may be one event apart. Numbers that must agree
therefore come from the same slots: the count of a histogram is the sum of its buckets,
`checkouts_total` is the count of `checkout_duration_seconds`, and a connection that is out has one
slot, its start time, from which `checked_out`, the oldest age and the running part of
`checked_out_seconds_total` come. The other `connections` are checked in.

    slots                    what
    counters                 see COUNTERS: plain u64, only ever added to
    4 histograms             buckets (not cumulative, the last is +Inf), then their sum in ns
    active                   1 while a pool uses the block, else only its counters are valid
    connections              gauge: live idle connections and those that are out
    held_spilled             gauge: connections out beyond the table of held connections
    waiting_spilled          gauge: waiters beyond the table of waiters
    held_used, waiting_used  how many slots of the tables were ever used
    busy_since               when the last statement began
    saturated                table: since when every allowed connection is out
    checked_out_peaks        ring of 16 windows: window number << 32 | highest value in it
    pending_peaks            the same for waiters
    holder_held_ns           a slot per holder: for how long it had the connections it gave back
    held                     table: a slot per connection that is out, since when
    waiting                  table: a slot per waiter, since when
    holder_holds             a slot per holder: how often it took a connection
    holder_leaks             a slot per holder: how many the garbage collector returned
    holder_busy              a slot per holder: its connections that execute a statement, and for
                             how long
    holder_busy_since        when the last statement of a holder began
    holder_names_used        how many bytes of the names are in use
    holder_names             the names of the holders in the order of their slots, one a line
    held_details             a slot per slot of `held`: by whom, where and in which thread
    call_sites_used          how many bytes of the call sites are in use
    call_sites               functions that check connections out: "file:line name", one a line

A slot of a table is 0, or the monotonic time in ns at which something began, or, when that has
ended, ENDED | the total of all that have ended, this one included. The same total is then stored
into its own slot (the sum of a histogram, or `saturated_ns`). So the running duration becomes part
of the total in one store. A reader takes the highest total that it finds and counts each duration
exactly once, even when the writer was killed between the two stores. The totals lie before the
tables because readers copy slots in this order, and slots are not reused at once.

Where holders are recorded, the total of `held` has parts: a slot of `holder_held_ns` for each
holder, and the sum of the histogram `hold` for connections without one. The end of a checkout
stores the total into its slot of `held`, and then the part that it belongs to. Its slot of
`held_details`, which is stored before the start and stays after the end, says which part that is.
So a reader that finds a higher total than the sum of the parts knows which part lacks the rest.
In the file `retired`, which has no `held`, the histogram has the time of all connections.

The counter `busy` holds both the connections that execute a statement and the integral of their
number, so that one store changes both. In units of 2**10 ns, each running statement adds BUSY_ONE
minus its start, and each ended one its duration. Until a time t, n running statements and the
integral are therefore n * (BUSY_ONE - t) + integral. Only a t from `busy_since` on makes sense.
`busy_since` is stored before `busy` and read after it. Without running statements `busy` is just
the integral, and may be added up over processes like any counter.

The slots of `holder_busy` do the same for the statements of a holder, with `holder_busy_since`.
Names of holders are only ever added to.

A slot of `held_details` is 0 if the holder of the connection is not known, else the number of the
holder << 48 | the number of the call site << 32 | the last 32 bits of the thread's native id.
Holders and call sites are numbered from 1 in the order of their lines; a call site for which there
was no room is 0. `call_sites` are only ever added to.

All times are of CLOCK_MONOTONIC, which all processes of a host share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .failures.reason import Reason

__all__ = [
    "CHECKOUT_FAILURE_REASONS",
    "CLOSE_REASONS",
    "FAILURE_REASONS",
    "HISTOGRAMS",
    "INVALIDATION_KINDS",
]

CHECKOUT_FAILURE_REASONS = ("timeout", "cancelled", "error")
FAILURE_REASONS = tuple(reason.value for reason in Reason)
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
    *(f"connection_failures_{reason}" for reason in FAILURE_REASONS),
    *(f"statement_failures_{reason}" for reason in FAILURE_REASONS),
    *(f"connections_closed_{reason}" for reason in CLOSE_REASONS),
    *(f"invalidations_{kind}" for kind in INVALIDATION_KINDS),
    "leaked_connections",
    "engines_created",
    "saturated_ns",
    "busy",
    # The durations of holds and waits that were still in flight when their process ended.
    "unfinished_checked_out_ns",
    "unfinished_pending_ns",
)

# Upper bounds in seconds; docs/metrics.md lists the same.
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

# The names of all slots are in every shared file. Other versions find slots by name, and skip
# names that they lack. So a name may be added, but never renamed or given another meaning.
GAUGES = (
    "active",
    "connections",
    "held_spilled",
    "waiting_spilled",
    "held_used",
    "waiting_used",
    "busy_since",
)
SATURATED_CAPACITY = 4
HELD_CAPACITY = 192
"""Connections of one pool in one process whose start times are kept, see `held_spilled`."""
WAITING_CAPACITY = 96
PEAK_WINDOWS = 16
WINDOW_SHIFT = 32
"""A window of the peak rings lasts 2**32 ns, 4.29 s: one shift gives its number."""
PEAK_REACH = 14
"""Windows before the current one that count: at least 60 s."""
ENDED = 1 << 63
BUSY_ONE = 1 << 52
BUSY_UNIT_SHIFT = 10
HOLDER_ROWS = 64
"""Holders of one pool in one process that have names of their own, `other` included."""
HOLDER_NAMES_BYTES = 2048
HOLDER_NAME_BYTES = 80
"""The bytes of all names, and of a name at most."""
CALL_SITES_BYTES = 1920
CALL_SITE_BYTES = 160
"""The bytes of all call sites, and of a call site at most."""
HOLDER_SHIFT, CALL_SITE_SHIFT = 48, 32


class HistogramSlots(NamedTuple):
    """Where a histogram lies: its first bucket, the slot of its sum, its bounds in ns."""

    first: int
    sum: int
    bounds_ns: tuple[int, ...]


@dataclass(frozen=True)
class Region:
    """Slots that belong together.

    `kind` is counter, histogram, gauge, peaks, table, details, holders or text.
    """

    name: str
    kind: str
    offset: int
    length: int = 1
    bounds_ns: tuple[int, ...] = ()


class SlotTable:
    """The regions of a block by name, in our version or in another version's file."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = {region.name: region for region in regions}
        self.slots = max((each.offset + each.length for each in regions), default=0)

    def read(self, slots: memoryview, name: str) -> list[int]:
        """Return the slots of a region; empty if there is no such region."""
        region = self.regions.get(name)
        if region is None:
            return []
        return slots[region.offset : region.offset + region.length].tolist()

    def read_one(self, slots: memoryview, name: str) -> int:
        """Return the only slot of a region; 0 if there is no such region."""
        region = self.regions.get(name)
        return 0 if region is None else slots[region.offset]


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
        ("holder_held_ns", "holders", HOLDER_ROWS, ()),
        ("held", "table", HELD_CAPACITY, ()),
        ("waiting", "table", WAITING_CAPACITY, ()),
        ("holder_holds", "holders", HOLDER_ROWS, ()),
        ("holder_leaks", "holders", HOLDER_ROWS, ()),
        ("holder_busy", "holders", HOLDER_ROWS, ()),
        ("holder_busy_since", "gauge", 1, ()),
        ("holder_names_used", "gauge", 1, ()),
        ("holder_names", "text", HOLDER_NAMES_BYTES // 8, ()),
        ("held_details", "details", HELD_CAPACITY, ()),
        ("call_sites_used", "details", 1, ()),
        ("call_sites", "details", CALL_SITES_BYTES // 8, ()),
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
"""The slots below this index only grow, and may be added up over processes."""
CONNECTIONS, HELD_OVERFLOWED, WAITING_OVERFLOWED = (
    SLOT[name] for name in ("connections", "held_spilled", "waiting_spilled")
)
SATURATED, CHECKED_OUT_PEAKS, PENDING_PEAKS, HELD, WAITING = (
    SLOT[name] for name in ("saturated", "checked_out_peaks", "pending_peaks", "held", "waiting")
)
BUSY, BUSY_SINCE = SLOT["busy"], SLOT["busy_since"]
HOLD_SUM, HOLDER_HELD = HISTOGRAM_SLOTS["hold"].sum, SLOT["holder_held_ns"]
MOVED_SLOTS = [
    slot
    for region in TABLE.regions.values()
    if region.kind in ("table", "peaks") or region.name in GAUGES
    for slot in range(region.offset, region.offset + region.length)
]
"""The slots that a pool takes along to another buffer as they are, `active` the first."""
TO_DETAILS = SLOT["held_details"] - HELD
"""From a slot of `held` to its slot of `held_details`."""
BLOCK_SLOTS = TABLE.slots


def read_busy(busy: int, until_ns: int) -> tuple[int, int]:
    """Return the running statements of a slot `busy`, and the integral until a time, in units."""
    return divmod(busy, max(1, BUSY_ONE - (until_ns >> BUSY_UNIT_SHIFT)))
