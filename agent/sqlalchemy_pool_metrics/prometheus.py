"""Turn pools into metric families of prometheus_client.

An application that exposes its own /metrics registers a `PoolCollector`. Nothing else in this
package imports prometheus_client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import Metric

from .families import APP_FAMILIES, FAMILIES, Family
from .instrumentation import read_pools
from .snapshot import Snapshot

__all__ = ["POOL_LABELS", "PoolCollector", "app_labels", "build_metric"]

POOL_LABELS = ("origin", "pool", "database", "application")
"""The labels of every pool metric; those that a user configures follow."""

Source = TypeVar("Source")


class PoolCollector:
    """A prometheus_client collector of all instrumented pools of this process.

    With several worker processes it shows only the one that answers the scrape. The exporter shows
    all of them.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield the sqlalchemy_pool_ families with their current values."""
        pools = [(app_labels(each), _of_one_process(each)) for each in read_pools()]
        return (build_metric(family, pools) for family in (*FAMILIES, *APP_FAMILIES))

    def describe(self) -> Iterable[Metric]:
        """Yield the families without samples, so that registering reads nothing."""
        return (build_metric(family, []) for family in (*FAMILIES, *APP_FAMILIES))


def _of_one_process(snapshot: Snapshot) -> Snapshot:
    """Count one process for several engines that are merged into one pool."""
    if snapshot.processes <= 1:
        return snapshot
    saturated = min(snapshot.saturated_processes, 1)
    return snapshot._replace(processes=1, saturated_processes=saturated)


def app_labels(snapshot: Snapshot) -> dict[str, str]:
    """Return the values of POOL_LABELS for a pool of the application."""
    pool = snapshot.pool
    return {
        "origin": "app",
        "pool": pool.name,
        "database": pool.database,
        "application": pool.application,
    }


def build_metric(
    family: Family[Source], sources: Sequence[tuple[Mapping[str, str], Source]]
) -> Metric:
    """Return the samples of a family.

    Args:
        family: The family.
        sources: What to read, each with its labels; all have the same label names.
    """
    metric = Metric(family.name, family.help, family.type)
    for labels, source in sources:
        series, numbers = family.read(source)
        for (name, all_labels), number in zip(family.list_samples(labels, series), numbers):
            metric.add_sample(name, all_labels, number)
    return metric
