"""The metric families of a pool, as data: their names, and how to read their numbers.

`prometheus` makes Metric objects of them, and the exporter prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import attrgetter, itemgetter
from typing import Callable, Generic, TypeVar

from .layout import (
    CHECKOUT_FAILURE_REASONS,
    CLOSE_REASONS,
    FAILURE_REASONS,
    HISTOGRAM_SLOTS,
    HISTOGRAMS,
    INVALIDATION_KINDS,
    SLOT,
)
from .snapshot import OTHER, SETTINGS, HolderNumbers, Snapshot

__all__ = ["APP_FAMILIES", "FAMILIES", "Family", "Series", "count_up", "single"]

Source = TypeVar("Source")
Series = tuple[Sequence["tuple[str, ...]"], Sequence[float]]
"""The values of a family's own labels, once for each series, and the numbers of all lines."""

MAX_INFOS = 20
"""Series of `sqlalchemy_pool_info` for one set of labels."""
_ABSENT: Series = ((), ())
_WITHOUT_LABELS = ((),)
_INFO_LABELS = ("pool_class", "dialect", "driver", *SETTINGS)
_pick_info = attrgetter(*_INFO_LABELS)


@dataclass(frozen=True)
class Family(Generic[Source]):
    """A metric family with one or more series for each source of numbers, such as a pool.

    A gauge or counter has one number for each series. A histogram has several: the cumulative count
    of each bucket and of all, the count again, and the sum.

    Attributes:
        name: The name, without the suffixes of the samples.
        type: "gauge", "counter" or "histogram".
        help: What it shows, for people.
        read: Returns the series of a source; what is unknown is absent.
        labels: The names of its own labels, beside those of the source.
        bounds: The upper bounds of a histogram's buckets, without infinity.
    """

    name: str
    type: str
    help: str
    read: Callable[[Source], Series]
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def samples(self) -> list[tuple[str, dict[str, str]]]:
        """The name and the further labels of each sample of one series."""
        if self.type == "counter":
            return [(f"{self.name}_total", {})]
        if self.type == "gauge":
            return [(self.name, {})]
        buckets = [(f"{self.name}_bucket", {"le": le}) for le in (*map(repr, self.bounds), "+Inf")]
        return [*buckets, (f"{self.name}_count", {}), (f"{self.name}_sum", {})]

    @property
    def names(self) -> set[str]:
        """The names that select the family: its own and those of its samples."""
        return {self.name, *(name for name, _ in self.samples)}

    def list_samples(
        self, labels: Mapping[str, str], own: Sequence[tuple[str, ...]]
    ) -> list[tuple[str, dict[str, str]]]:
        """Return the name and the labels of each sample of a source, in the order of the numbers.

        Args:
            labels: The labels of the source.
            own: The values of the family's own labels, once for each series.
        """
        return [
            (name, {**labels, **dict(zip(self.labels, values)), **further})
            for values in own
            for name, further in self.samples
        ]


def single(number: float | None) -> Series:
    """Return the one number of a family without own labels; None leaves it out."""
    return _ABSENT if number is None else (_WITHOUT_LABELS, (number,))


def count_up(counts: Sequence[int], total: float) -> list[float]:
    """Return the numbers of a histogram from its counts, which are not cumulative, and its sum."""
    buckets: list[float] = list(accumulate(counts))
    return [*buckets, buckets[-1], total]


def _gauge(name: str, help_: str, read: Callable[[Snapshot], float | None]) -> Family[Snapshot]:
    """Return a gauge, which is absent once no process has the pool."""
    return Family(name, "gauge", help_, lambda s: single(read(s)) if s.processes else _ABSENT)


def _counter(name: str, help_: str, read: Callable[[Snapshot], float | None]) -> Family[Snapshot]:
    return Family(name, "counter", help_, lambda s: single(read(s)))


def _split_counter(name: str, help_: str, label: str, values: Sequence[str]) -> Family[Snapshot]:
    """Return a counter split by a closed set of label values; each is there from the start."""
    counters = name[len("sqlalchemy_pool_") :]
    pick = itemgetter(*(SLOT[f"{counters}_{value}"] for value in values))
    series = tuple((value,) for value in values)
    return Family(name, "counter", help_, lambda s: (series, pick(s.additive)), (label,))


def _of_holders(
    name: str, type_: str, help_: str, read: Callable[[HolderNumbers], float]
) -> Family[Snapshot]:
    """Return a family with a series for each holder, none where nobody asks who they are."""

    def read_all(snapshot: Snapshot) -> Series:
        if type_ == "gauge" and not snapshot.processes:
            return _ABSENT
        holders = snapshot.holders
        return [(each.name,) for each in holders], [read(each) for each in holders]

    return Family(name, type_, help_, read_all, ("holder",))


def _read_info(snapshot: Snapshot) -> Series:
    """Return a series for each way in which the pool is set up; two during a rolling update."""
    if not snapshot.processes:
        return _ABSENT
    infos = {_pick_info(each) for each in snapshot.descriptions or (snapshot.pool,)}
    shown = sorted(infos)[:MAX_INFOS]
    return shown, [1] * len(shown)


def _read_overdue(snapshot: Snapshot) -> Series:
    """Count the connections that are overdue of each holder, "" for those of nobody known."""
    if not snapshot.processes:
        return _ABSENT
    names = dict.fromkeys(["", *(each.name for each in snapshot.holders)], 0)
    for hold in snapshot.overdue:
        name = hold.holder if hold.holder in names else OTHER
        names[name] = names.get(name, 0) + 1
    return [(name,) for name in names], list(names.values())


def _histogram(name: str, help_: str, histogram: str) -> Family[Snapshot]:
    first, total, _ = HISTOGRAM_SLOTS[histogram]

    def read(snapshot: Snapshot) -> Series:
        slots = snapshot.additive
        return _WITHOUT_LABELS, count_up(slots[first:total], slots[total] / 1e9)

    return Family(name, "histogram", help_, read, bounds=HISTOGRAMS[histogram])


def _if_waits(family: Family[Snapshot]) -> Family[Snapshot]:
    """Show the family for pools on which callers can wait; for others it is absent, not 0."""
    return replace(family, read=lambda s: family.read(s) if s.pool.waits else _ABSENT)


FAMILIES: tuple[Family[Snapshot], ...] = (
    Family(
        "sqlalchemy_pool_info",
        "gauge",
        "How the pool is set up; the value is always 1. Processes that differ have a series each.",
        _read_info,
        _INFO_LABELS,
    ),
    _gauge("sqlalchemy_pool_size", "Connections that the pool keeps.", lambda s: s.size),
    _gauge(
        "sqlalchemy_pool_max_connections",
        "Connections that the pool opens at most: size + max_overflow. Absent when unlimited.",
        lambda s: s.max_connections,
    ),
    _gauge(
        "sqlalchemy_pool_checked_out",
        "Connections in callers' hands.",
        lambda s: s.checked_out,
    ),
    _gauge(
        "sqlalchemy_pool_checked_in",
        "Live idle connections in the pool.",
        lambda s: s.checked_in,
    ),
    _gauge("sqlalchemy_pool_overflow", "Connections beyond size.", lambda s: s.overflow),
    _gauge(
        "sqlalchemy_pool_busy_connections",
        "Checked-out connections that execute a statement now; the others are idle in hand.",
        lambda s: s.busy,
    ),
    _if_waits(
        _gauge(
            "sqlalchemy_pool_pending_checkouts",
            "Callers blocked on the empty pool now.",
            lambda s: s.pending_checkouts,
        )
    ),
    _gauge(
        "sqlalchemy_pool_checked_out_peak",
        "Highest checked_out in the last 60 s. Of several processes the sum of their peaks, "
        "an upper bound.",
        lambda s: s.checked_out_peak,
    ),
    _if_waits(
        _gauge(
            "sqlalchemy_pool_pending_checkouts_peak",
            "Highest pending_checkouts in the last 60 s. Of several processes the sum of their "
            "peaks, an upper bound.",
            lambda s: s.pending_checkouts_peak,
        )
    ),
    _gauge(
        "sqlalchemy_pool_oldest_checkout_age_seconds",
        "Age of the connection that is out longest now, 0 when none is; "
        "of several processes the maximum.",
        lambda s: s.oldest_checkout_ns / 1e9,
    ),
    _counter("sqlalchemy_pool_checkouts", "Successful checkouts.", lambda s: s.checkouts),
    _split_counter(
        "sqlalchemy_pool_checkout_failures",
        "Checkouts that failed: the pool's timeout, cancelled by the caller, or an error.",
        "reason",
        CHECKOUT_FAILURE_REASONS,
    ),
    _counter(
        "sqlalchemy_pool_connections_opened",
        "Connections that the driver opened.",
        lambda s: s.connections_opened,
    ),
    _split_counter(
        "sqlalchemy_pool_connection_failures",
        "Attempts to open a connection that failed, by reason.",
        "reason",
        FAILURE_REASONS,
    ),
    _split_counter(
        "sqlalchemy_pool_statement_failures",
        "Statements that failed, commits included, by reason; "
        "other: anything else, such as a violated constraint.",
        "reason",
        FAILURE_REASONS,
    ),
    _split_counter(
        "sqlalchemy_pool_connections_closed",
        "Connections that left the pool, by reason: overflow (no place for it on return), "
        "recycle (too old), pre_ping (found dead), invalidated, soft_invalidated, "
        "pool_invalidated (older than a dead one), dispose, detached (the caller's from then on), "
        "reset_failed, leaked, other.",
        "reason",
        CLOSE_REASONS,
    ),
    _split_counter(
        "sqlalchemy_pool_invalidations",
        "Connections marked as unusable: hard (closed at once) or soft (at the next checkout).",
        "kind",
        INVALIDATION_KINDS,
    ),
    _counter(
        "sqlalchemy_pool_leaked_connections",
        "Connections returned by the garbage collector instead of the caller.",
        lambda s: s.counter("leaked_connections"),
    ),
    _counter(
        "sqlalchemy_pool_engines_created",
        "Engines that a process used for the first time.",
        lambda s: s.counter("engines_created"),
    ),
    _counter(
        "sqlalchemy_pool_checked_out_seconds",
        "Integral of checked_out over time, connections still out included: "
        "its rate is the mean number in use.",
        lambda s: s.checked_out_ns / 1e9,
    ),
    _counter(
        "sqlalchemy_pool_busy_seconds",
        "Integral of busy_connections over time, running statements included.",
        lambda s: s.busy_ns / 1e9,
    ),
    _if_waits(
        _counter(
            "sqlalchemy_pool_pending_seconds",
            "Integral of pending_checkouts over time, callers still waiting included.",
            lambda s: s.pending_ns / 1e9,
        )
    ),
    _counter(
        "sqlalchemy_pool_saturated_seconds",
        "Time with every allowed connection out, the present one included.",
        lambda s: s.saturated_ns / 1e9,
    ),
    _histogram(
        "sqlalchemy_pool_checkout_duration_seconds",
        "From asking the pool for a connection to having it: wait, connect, pre-ping and all.",
        "checkout",
    ),
    _if_waits(
        _histogram(
            "sqlalchemy_pool_wait_duration_seconds",
            "Time blocked on the empty pool, of the callers that blocked, whether they got one or "
            "not.",
            "wait",
        )
    ),
    _histogram(
        "sqlalchemy_pool_connect_duration_seconds",
        "The driver opening a connection.",
        "connect",
    ),
    _histogram(
        "sqlalchemy_pool_hold_duration_seconds",
        "From checkout to return.",
        "hold",
    ),
)
"""Every pool has these."""

APP_FAMILIES: tuple[Family[Snapshot], ...] = (
    _gauge(
        "sqlalchemy_pool_processes",
        "Live processes of the application that have this pool.",
        lambda s: s.processes,
    ),
    _gauge(
        "sqlalchemy_pool_saturated_processes",
        "Live processes of the application in which every allowed connection of this pool is out.",
        lambda s: s.saturated_processes,
    ),
    _gauge(
        "sqlalchemy_pool_engines",
        "Live engines of the application behind these labels, each with a pool of its own.",
        lambda s: s.engines,
    ),
    _of_holders(
        "sqlalchemy_pool_held_connections",
        "gauge",
        "Connections in hand by holder: a name that the application gives, "
        "else the endpoint or task, else the function that asked for the connection.",
        lambda h: h.connections,
    ),
    _of_holders("sqlalchemy_pool_holds", "counter", "Checkouts by holder.", lambda h: h.holds),
    _of_holders(
        "sqlalchemy_pool_held_seconds",
        "counter",
        "Integral of held_connections over time, connections still out included.",
        lambda h: h.held_ns / 1e9,
    ),
    _of_holders(
        "sqlalchemy_pool_held_busy_seconds",
        "counter",
        "The part of held_seconds_total in which the connections executed statements.",
        lambda h: h.busy_ns / 1e9,
    ),
    _of_holders(
        "sqlalchemy_pool_leaks",
        "counter",
        "Connections returned by the garbage collector instead of their holder.",
        lambda h: h.leaks,
    ),
    Family(
        "sqlalchemy_pool_overdue_connections",
        "gauge",
        "Connections held for longer than 5 min, or app.leak_threshold of the exporter, by holder; "
        "an empty holder is unknown.",
        _read_overdue,
        ("holder",),
    ),
)
"""The application's pools have these as well."""
