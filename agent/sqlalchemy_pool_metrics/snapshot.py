"""Snapshots: the numbers of one pool, of one process or merged over several.

This one kind of value carries everything from the slots to /metrics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, chain
from operator import add
from typing import Any, NamedTuple

from .layout import BUSY, BUSY_UNIT_SHIFT, FAILURE_REASONS, HISTOGRAM_SLOTS, HISTOGRAMS, SLOT

__all__ = [
    "OTHER",
    "Histogram",
    "HolderNumbers",
    "OverdueHold",
    "PoolDescription",
    "Snapshot",
    "keep_counters",
    "limit_holders",
    "merge",
    "merge_holders",
    "sort_by_age",
]

MAX_CONNECTIONS = 1 << 31
MAX_COUNT = 1 << 62
SETTINGS = (
    "timeout",
    "recycle",
    "pre_ping",
    "use_lifo",
    "reset_on_return",
    "sqlalchemy_version",
    "agent_version",
)
"""The fields of a description that do not matter once its pool is gone. All are texts."""
OTHER = "other"
"""The holder that stands for all for which there is no room."""
_HOLD_SUM, _WAIT_SUM = HISTOGRAM_SLOTS["hold"].sum, HISTOGRAM_SLOTS["wait"].sum
_SATURATED_NS = SLOT["saturated_ns"]
_UNFINISHED_CHECKED_OUT_NS = SLOT["unfinished_checked_out_ns"]
_UNFINISHED_PENDING_NS = SLOT["unfinished_pending_ns"]


@dataclass(frozen=True)
class PoolDescription:
    """Describes a pool. Never holds a password, a user name or data of the application.

    Settings are texts for labels: "true" or "false", seconds, or "none" where a limit is switched
    off. They are empty if the class has no such setting, or the recording version did not tell.

    Attributes:
        size: None for a pool without one.
        max_connections: None for a pool without a limit.
        waits: Whether callers can block on an empty queue, as in the queue pools.
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
    timeout: str = ""
    recycle: str = ""
    pre_ping: str = ""
    use_lifo: str = ""
    reset_on_return: str = ""
    sqlalchemy_version: str = ""
    agent_version: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """The key: pools with the same one are one pool in the metrics, also across processes."""
        return (
            self.application,
            self.name,
            self.pool_class,
            self.dialect,
            self.host,
            self.port,
            self.database,
        )


@dataclass(frozen=True)
class Histogram:
    """Durations in seconds; `counts` are not cumulative, the last one is beyond every bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum_seconds: float

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Return pairs of an upper bound and the observations up to it, as in Prometheus."""
        return list(zip((*self.bounds, float("inf")), accumulate(self.counts)))


class HolderNumbers(NamedTuple):
    """The numbers of one holder of a pool's connections.

    Attributes:
        name: The holder.
        connections: How many it has.
        holds: How often it took one.
        held_ns: The integral of `connections` over time.
        busy_ns: The part of it in which they executed statements.
        leaks: How many the garbage collector returned.
    """

    name: str
    connections: int
    holds: int
    held_ns: int
    busy_ns: int = 0
    leaks: int = 0


class OverdueHold(NamedTuple):
    """A connection that has been out for long.

    Attributes:
        holder: Who has it; "" if nobody knows.
        age_ns: For how long it has been out.
        file: The file of the function that asked for it, where holders are asked for; the path
            begins with the outermost package.
        line: The line on which that function begins.
        function: Its name.
        thread: The last 32 bits of the native id of the thread that asked for it.
        process: The process that has it; filled in by the reader of its file.
    """

    holder: str
    age_ns: int
    file: str = ""
    line: int = 0
    function: str = ""
    thread: int = 0
    process: int = 0


class Snapshot(NamedTuple):
    """The numbers of one pool, of one process or of several merged.

    A tuple, because a scrape builds one for every pool of every process.

    Gauges count connections or waiters; `running_*_ns` is how long those in flight have lasted.

    Attributes:
        processes: Processes that have the pool; 0 when only its counters are left.
        engines: Engines that have it; a process can have several equal ones.
        saturated_processes: Those of them with every allowed connection checked out.
        additive: Counters and histograms in the order of the slots. The methods and properties read
            them by name.
        busy: Connections that execute a statement.
        overflow: Connections beyond the size, never negative; None for a pool without a size.
        holders: Who has the connections; empty where nobody asks for it.
        descriptions: Those of the live pools that were merged into it; empty for a single pool.
        overdue: Connections that have been out for longer than a threshold, the oldest first.
    """

    pool: PoolDescription
    processes: int
    additive: tuple[int, ...]
    engines: int = 0
    checked_in: int = 0
    busy: int = 0
    checked_out: int = 0
    checked_out_peak: int = 0
    running_checked_out_ns: int = 0
    pending_checkouts: int = 0
    pending_checkouts_peak: int = 0
    running_pending_ns: int = 0
    running_saturated_ns: int = 0
    saturated_processes: int = 0
    oldest_checkout_ns: int = 0
    overflow: int | None = None
    holders: tuple[HolderNumbers, ...] = ()
    descriptions: tuple[PoolDescription, ...] = ()
    overdue: tuple[OverdueHold, ...] = ()

    @property
    def size(self) -> int | None:
        """The pool's size."""
        return self.pool.size

    @property
    def max_connections(self) -> int | None:
        """The pool's limit."""
        return self.pool.max_connections

    @property
    def checkouts(self) -> int:
        """Successful checkouts."""
        return self._count("checkout")

    @property
    def connections_opened(self) -> int:
        """Connections that the driver opened."""
        return self._count("connect")

    @property
    def connection_failures(self) -> int:
        """Attempts to open a connection that failed, for any reason."""
        return sum(self.counter(f"connection_failures_{reason}") for reason in FAILURE_REASONS)

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
    def busy_ns(self) -> int:
        """The integral of `busy` over time."""
        return self.additive[BUSY] << BUSY_UNIT_SHIFT

    @property
    def is_sane(self) -> bool:
        """Whether a pool can have these numbers; those of a damaged file are often absurd."""
        return (
            self.checked_in <= MAX_CONNECTIONS
            and self.busy <= MAX_CONNECTIONS
            and self.checked_out <= MAX_CONNECTIONS
            and self.pending_checkouts <= MAX_CONNECTIONS
            and sum(self.additive) <= MAX_COUNT
            and not (self.holders and sum(sum(each[1:]) for each in self.holders) > MAX_COUNT)
        )

    def _count(self, histogram: str) -> int:
        first, total, _ = HISTOGRAM_SLOTS[histogram]
        return sum(self.additive[first:total])

    def counter(self, name: str) -> int:
        """Return the counter of that name in layout.COUNTERS."""
        return self.additive[SLOT[name]]

    def histogram(self, name: str) -> Histogram:
        """Return the histogram of that name in layout.HISTOGRAMS."""
        first, total, _ = HISTOGRAM_SLOTS[name]
        return Histogram(HISTOGRAMS[name], self.additive[first:total], self.additive[total] / 1e9)


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Merge snapshots of one pool from one or more processes.

    Everything is added, sizes and limits too. The sum of the peaks is an upper bound of the peak of
    the sum. The oldest age is the maximum. The description is that of the first snapshot.

    A class without a size, such as NullPool, does not change the sizes of the others. An
    unlimited queue pool makes the limit of all of them unknown.
    """
    first = snapshots[0]
    if len(snapshots) == 1:
        return first
    live = [each for each in snapshots if each.processes]
    sized = [each for each in live if each.pool.waits or each.pool.size is not None]
    # Each field has its values of all snapshots.
    columns: Any = Snapshot._make(zip(*snapshots))
    return Snapshot(
        pool=replace(
            first.pool,
            size=_total(each.pool.size for each in sized),
            max_connections=_total(each.pool.max_connections for each in sized),
        ),
        processes=sum(columns.processes),
        additive=tuple(map(sum, zip(*columns.additive))),
        engines=sum(columns.engines),
        checked_in=sum(columns.checked_in),
        busy=sum(columns.busy),
        checked_out=sum(columns.checked_out),
        checked_out_peak=sum(columns.checked_out_peak),
        running_checked_out_ns=sum(columns.running_checked_out_ns),
        pending_checkouts=sum(columns.pending_checkouts),
        pending_checkouts_peak=sum(columns.pending_checkouts_peak),
        running_pending_ns=sum(columns.running_pending_ns),
        running_saturated_ns=sum(columns.running_saturated_ns),
        saturated_processes=sum(columns.saturated_processes),
        oldest_checkout_ns=max(columns.oldest_checkout_ns),
        overflow=_total(each.overflow for each in sized),
        holders=merge_holders(chain(*columns.holders)),
        # By identity, for speed: the processes of one program mostly share one description.
        descriptions=tuple(
            {id(p): p for each in live for p in each.descriptions or (each.pool,)}.values()
        ),
        overdue=sort_by_age(chain(*columns.overdue)),
    )


def sort_by_age(holds: Iterable[OverdueHold]) -> tuple[OverdueHold, ...]:
    """Return connections that are overdue, the oldest first."""
    return tuple(sorted(holds, key=lambda hold: -hold.age_ns))


def merge_holders(holders: Iterable[HolderNumbers]) -> tuple[HolderNumbers, ...]:
    """Add up what has the same name; the order stays."""
    found: dict[str, HolderNumbers] = {}
    for each in holders:
        before = found.get(each.name)
        found[each.name] = (
            HolderNumbers(each.name, *map(add, before[1:], each[1:])) if before else each
        )
    return tuple(found.values())


def limit_holders(
    holders: Iterable[HolderNumbers], kept: Collection[str]
) -> tuple[HolderNumbers, ...]:
    """Add up as OTHER all holders that are not kept."""
    return merge_holders(h if h.name in kept else h._replace(name=OTHER) for h in holders)


def keep_counters(snapshot: Snapshot) -> Snapshot:
    """Return what remains of a pool or process that is gone: its counters, without gauges.

    Operations in flight count until the time of the snapshot. It is unknown when the process ended,
    and a counter must not fall below a value that it showed during the process's life.
    """
    additive = list(snapshot.additive)
    additive[_UNFINISHED_CHECKED_OUT_NS] += snapshot.running_checked_out_ns
    additive[_UNFINISHED_PENDING_NS] += snapshot.running_pending_ns
    additive[_SATURATED_NS] += snapshot.running_saturated_ns
    return Snapshot(
        pool=_without_settings(snapshot.pool),
        processes=0,
        additive=tuple(additive),
        holders=tuple(each._replace(connections=0) for each in snapshot.holders),
    )


@lru_cache(maxsize=1024)
def _without_settings(pool: PoolDescription) -> PoolDescription:
    """Return the description of a pool that is gone. Cached: many processes have the same one."""
    unset: dict[str, Any] = dict.fromkeys(SETTINGS, "")
    return replace(pool, size=None, max_connections=None, **unset)


def _total(values: Iterable[int | None]) -> int | None:
    """Return the sum; None if one value is None, that is unlimited, or if there are none."""
    known = list(values)
    limited = [value for value in known if value is not None]
    return sum(limited) if known and len(limited) == len(known) else None
