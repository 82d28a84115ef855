"""Metric families with one set of series per probe, labelled with its database."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.probes.check import DurationHistogram

V = TypeVar("V")
# The values of a family's own labels, in their order, and the value of each series.
Values: TypeAlias = Mapping[tuple[str, ...], V]
Read: TypeAlias = Callable[[Probe], Values[V]]


class ProbeFamilies:
    """Builds the families of one scrape. A series that `read` does not return is absent."""

    def __init__(self, prefix: str, probes: Collection[Probe]) -> None:
        """Take the prefix of every name, and the probes in the order of their series."""
        self._prefix = prefix
        self._probes = probes
        self._configured = read_label_names(probe.labels for probe in probes)

    def gauge(
        self, name: str, documentation: str, read: Read[float], labels: tuple[str, ...] = ()
    ) -> GaugeMetricFamily:
        """Return a gauge with `labels` between the database and the configured labels."""
        names = self._label_names(labels)
        family = GaugeMetricFamily(f"{self._prefix}_{name}", documentation, labels=names)
        for values, value in self._read_series(read):
            family.add_metric(values, value)
        return family

    def counter(
        self, name: str, documentation: str, read: Read[float], labels: tuple[str, ...] = ()
    ) -> CounterMetricFamily:
        """Return a counter. Its samples end in _total, `name` does not."""
        names = self._label_names(labels)
        family = CounterMetricFamily(f"{self._prefix}_{name}", documentation, labels=names)
        for values, value in self._read_series(read):
            family.add_metric(values, value)
        return family

    def histogram(
        self,
        name: str,
        documentation: str,
        read: Read[DurationHistogram],
        labels: tuple[str, ...] = (),
    ) -> HistogramMetricFamily:
        """Return a histogram family of the histograms that `read` returns."""
        names = self._label_names(labels)
        family = HistogramMetricFamily(f"{self._prefix}_{name}", documentation, labels=names)
        for values, histogram in self._read_series(read):
            family.add_metric(values, build_buckets(histogram), histogram.sum)
        return family

    def _label_names(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        return ("database", *labels, *self._configured)

    def _read_series(self, read: Read[V]) -> Iterator[tuple[list[str], V]]:
        for probe in self._probes:
            configured = fill_labels(probe.labels, self._configured).values()
            for values, value in read(probe).items():
                yield [probe.name, *values, *configured], value


def single(value: float | None) -> Values[float]:
    """Return the one value of a family without further labels; None leaves it out."""
    return {} if value is None else {(): float(value)}


def build_buckets(histogram: DurationHistogram) -> list[tuple[str, float]]:
    """Return the upper bounds as Prometheus writes them, with cumulative counts."""
    bounds = (*map(repr, histogram.bounds), "+Inf")
    return list(zip(bounds, accumulate(histogram.counts), strict=True))


def read_label_names(labels: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the label names that any of the databases has, sorted."""
    return tuple(sorted({name for mapping in labels for name in mapping}))


def fill_labels(labels: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return a value for each of `names`, empty for one that is not in `labels`."""
    return {name: labels.get(name, "") for name in names}
