"""Turn snapshots of pools into metric families of prometheus_client.

The exporter uses `build_families` for every pool. An application that exposes its own /metrics
registers a `PoolCollector`. Nothing else in this package imports prometheus_client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Callable, NamedTuple, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from .instrumentation import read_pools
from .layout import CHECKOUT_FAILURE_REASONS, CLOSE_REASONS, FAILURE_REASONS, INVALIDATION_KINDS
from .snapshot import Histogram, Snapshot

__all__ = ["POOL_LABELS", "PoolCollector", "build_families"]

POOL_LABELS = ("origin", "pool", "database", "application")
"""The labels of every pool metric; those that a user configures follow."""

_PREFIX = "sqlalchemy_pool_"
LabelledSnapshots = Sequence["tuple[Mapping[str, str], Snapshot]"]
_Samples = Iterable["tuple[list[str], Snapshot]"]
"""Label values and the snapshot that they belong to."""


class _Gauge(NamedTuple):
    """A gauge; absent once no process has the pool."""

    name: str
    help: str
    read: Callable[[Snapshot], float | None]

    def build(self, samples: _Samples, names: Sequence[str]) -> Metric:
        family = GaugeMetricFamily(_PREFIX + self.name, self.help, labels=names)
        for labels, snapshot in samples:
            value = self.read(snapshot) if snapshot.processes else None
            if value is not None:
                family.add_metric(labels, value)
        return family


class _AppGauge(NamedTuple):
    """A gauge of the application's pools only."""

    name: str
    help: str
    read: Callable[[Snapshot], float | None]

    def build(self, samples: _Samples, names: Sequence[str]) -> Metric:
        of_app = [each for each in samples if dict(zip(names, each[0])).get("origin") == "app"]
        return _Gauge(*self).build(of_app, names)


class _Counter(NamedTuple):
    name: str
    help: str
    read: Callable[[Snapshot], float | None]

    def build(self, samples: _Samples, names: Sequence[str]) -> Metric:
        family = CounterMetricFamily(_PREFIX + self.name, self.help, labels=names)
        for labels, snapshot in samples:
            value = self.read(snapshot)
            if value is not None:
                family.add_metric(labels, value)
        return family


class _SplitCounter(NamedTuple):
    """A counter split by a closed set of label values; each is there from the start, as 0."""

    name: str
    help: str
    label: str
    values: Sequence[str]

    def build(self, samples: _Samples, names: Sequence[str]) -> Metric:
        labels_of_family = [*names, self.label]
        family = CounterMetricFamily(_PREFIX + self.name, self.help, labels=labels_of_family)
        for labels, snapshot in samples:
            for value in self.values:
                family.add_metric([*labels, value], snapshot.counter(f"{self.name}_{value}"))
        return family


class _Histogram(NamedTuple):
    name: str
    help: str
    read: Callable[[Snapshot], Histogram | None]

    def build(self, samples: _Samples, names: Sequence[str]) -> Metric:
        family = HistogramMetricFamily(_PREFIX + self.name, self.help, labels=names)
        for labels, snapshot in samples:
            histogram = self.read(snapshot)
            if histogram is not None:
                buckets = [(_bound(le), float(count)) for le, count in histogram.cumulative()]
                family.add_metric(labels, buckets, histogram.sum_seconds)
        return family


_Value = TypeVar("_Value", float, Histogram)


def _if_waits(read: Callable[[Snapshot], _Value]) -> Callable[[Snapshot], _Value | None]:
    """Read a value only of pools on which callers can wait; for others it is absent, not 0."""
    return lambda snapshot: read(snapshot) if snapshot.pool.waits else None


FAMILIES: tuple[_Gauge | _AppGauge | _Counter | _SplitCounter | _Histogram, ...] = (
    _Gauge("size", "Connections that the pool keeps.", lambda s: s.size),
    _Gauge(
        "max_connections",
        "Connections that the pool opens at most: size + max_overflow. Absent when unlimited.",
        lambda s: s.max_connections,
    ),
    _Gauge("checked_out", "Connections in callers' hands.", lambda s: s.checked_out),
    _Gauge("checked_in", "Live idle connections in the pool.", lambda s: s.checked_in),
    _Gauge("overflow", "Connections beyond size.", lambda s: s.overflow),
    _Gauge(
        "pending_checkouts",
        "Callers blocked on the empty pool now.",
        _if_waits(lambda s: s.pending_checkouts),
    ),
    _Gauge(
        "checked_out_peak",
        "Highest checked_out in the last 60 s. Of several processes the sum of their peaks, "
        "an upper bound.",
        lambda s: s.checked_out_peak,
    ),
    _Gauge(
        "pending_checkouts_peak",
        "Highest pending_checkouts in the last 60 s. Of several processes the sum of their peaks, "
        "an upper bound.",
        _if_waits(lambda s: s.pending_checkouts_peak),
    ),
    _Gauge(
        "oldest_checkout_age_seconds",
        "Age of the connection that is out longest now, 0 when none is; "
        "of several processes the maximum.",
        lambda s: s.oldest_checkout_ns / 1e9,
    ),
    _AppGauge(
        "processes",
        "Live processes of the application that have this pool.",
        lambda s: s.processes,
    ),
    _AppGauge(
        "saturated_processes",
        "Live processes of the application in which every allowed connection of this pool is out.",
        lambda s: s.saturated_processes,
    ),
    _AppGauge(
        "engines",
        "Live engines of the application behind these labels, each with a pool of its own.",
        lambda s: s.engines,
    ),
    _Counter("checkouts", "Successful checkouts.", lambda s: s.checkouts),
    _SplitCounter(
        "checkout_failures",
        "Checkouts that failed: the pool's timeout, cancelled by the caller, or an error.",
        "reason",
        CHECKOUT_FAILURE_REASONS,
    ),
    _Counter(
        "connections_opened", "Connections that the driver opened.", lambda s: s.connections_opened
    ),
    _SplitCounter(
        "connection_failures",
        "Attempts to open a connection that failed, by reason.",
        "reason",
        FAILURE_REASONS,
    ),
    _SplitCounter(
        "statement_failures",
        "Statements that failed, commits included, by reason; "
        "other: anything else, such as a violated constraint.",
        "reason",
        FAILURE_REASONS,
    ),
    _SplitCounter(
        "connections_closed",
        "Connections that left the pool, by reason: overflow (no place for it on return), "
        "recycle (too old), pre_ping (found dead), invalidated, soft_invalidated, "
        "pool_invalidated (older than a dead one), dispose, detached (the caller's from then on), "
        "reset_failed, leaked, other.",
        "reason",
        CLOSE_REASONS,
    ),
    _SplitCounter(
        "invalidations",
        "Connections marked as unusable: hard (closed at once) or soft (at the next checkout).",
        "kind",
        INVALIDATION_KINDS,
    ),
    _Counter(
        "leaked_connections",
        "Connections returned by the garbage collector instead of the caller.",
        lambda s: s.counter("leaked_connections"),
    ),
    _Counter(
        "engines_created",
        "Engines that a process used for the first time.",
        lambda s: s.counter("engines_created"),
    ),
    _Counter(
        "checked_out_seconds",
        "Integral of checked_out over time, connections still out included: "
        "its rate is the mean number in use.",
        lambda s: s.checked_out_ns / 1e9,
    ),
    _Counter(
        "pending_seconds",
        "Integral of pending_checkouts over time, callers still waiting included.",
        _if_waits(lambda s: s.pending_ns / 1e9),
    ),
    _Counter(
        "saturated_seconds",
        "Time with every allowed connection out, the present one included.",
        lambda s: s.saturated_ns / 1e9,
    ),
    _Histogram(
        "checkout_duration_seconds",
        "From asking the pool for a connection to having it: wait, connect, pre-ping and all.",
        lambda s: s.histogram("checkout"),
    ),
    _Histogram(
        "wait_duration_seconds",
        "Time blocked on the empty pool, of the callers that blocked, whether they got one or not.",
        _if_waits(lambda s: s.histogram("wait")),
    ),
    _Histogram(
        "connect_duration_seconds",
        "The driver opening a connection.",
        lambda s: s.histogram("connect"),
    ),
    _Histogram("hold_duration_seconds", "From checkout to return.", lambda s: s.histogram("hold")),
)


class PoolCollector:
    """A prometheus_client collector of all instrumented pools of this process.

    With several worker processes it shows only the one that answers the scrape. The exporter shows
    all of them.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield the sqlalchemy_pool_ families with their current values."""
        snapshots = [(app_labels(each), _of_one_process(each)) for each in read_pools()]
        return build_families(snapshots, POOL_LABELS)

    def describe(self) -> Iterable[Metric]:
        """Yield the families without samples, so that registering reads nothing."""
        return build_families([], POOL_LABELS)


def _of_one_process(snapshot: Snapshot) -> Snapshot:
    """Count one process for several engines that are merged into one pool."""
    if snapshot.processes <= 1:
        return snapshot
    return replace(snapshot, processes=1, saturated_processes=min(snapshot.saturated_processes, 1))


def app_labels(snapshot: Snapshot) -> dict[str, str]:
    """Return the values of POOL_LABELS for a pool of the application."""
    pool = snapshot.pool
    return {
        "origin": "app",
        "pool": pool.name,
        "database": pool.database,
        "application": pool.application,
    }


def build_families(snapshots: LabelledSnapshots, label_names: Sequence[str]) -> Iterator[Metric]:
    """Yield every sqlalchemy_pool_ family.

    A value that a pool cannot know has no sample, nor has a gauge once no process has the pool.

    Args:
        snapshots: Pairs of label values and a snapshot, one per label set.
        label_names: The labels of each sample; those without a value are empty.
    """
    samples = [([labels.get(name, "") for name in label_names], s) for labels, s in snapshots]
    for family in FAMILIES:
        yield family.build(samples, label_names)


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else repr(seconds)
