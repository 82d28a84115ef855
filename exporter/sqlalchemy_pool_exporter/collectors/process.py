"""The process_ and python_ families of prometheus_client, rendered from prepared text."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.exposition import Scrape
from sqlalchemy_pool_exporter.collectors.families import FamilyRenderer
from sqlalchemy_pool_metrics.families import Family, Series

MAX_AGE_SECONDS: Final = 1.0

Metrics: TypeAlias = Mapping[str, Metric]


class ClientCollector:
    """A collector of prometheus_client that has the same gauges and counters at each scrape.

    It collects at most once a second, because it would take a fifth of a small scrape.
    """

    def __init__(
        self, collector: Collector, *, read_clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._collector = collector
        self._read_clock = read_clock
        self._collected_at = -math.inf
        self._metrics = self._collect()
        families = list(map(build_family, self._metrics.values()))
        self._renderer = FamilyRenderer(families, of_values=True)

    def render(self, scrape: Scrape) -> list[bytes]:
        """Return its families."""
        return self._renderer.render(scrape, [({}, self._collect())])

    def _collect(self) -> Metrics:
        now = self._read_clock()
        if now - self._collected_at >= MAX_AGE_SECONDS:
            self._collected_at = now
            self._metrics = {metric.name: metric for metric in self._collector.collect()}
        return self._metrics


def build_family(metric: Metric) -> Family[Metrics]:
    """Return how to read a metric, which is absent where its collector could not read it."""
    labels = tuple(metric.samples[0].labels)

    def read(metrics: Metrics) -> Series:
        samples = metrics[metric.name].samples if metric.name in metrics else ()
        return [tuple(each.labels.values()) for each in samples], [each.value for each in samples]

    return Family(metric.name, metric.type, metric.documentation, read, labels)
