"""The process_ and python_ families of prometheus_client, rendered from prepared text."""

from collections.abc import Mapping
from typing import TypeAlias

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.exposition import Scrape
from sqlalchemy_pool_exporter.collectors.families import FamilyRenderer
from sqlalchemy_pool_metrics.families import Family, Series

Metrics: TypeAlias = Mapping[str, Metric]


class ClientCollector:
    """A collector of prometheus_client that has the same gauges and counters at each scrape."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._renderer = FamilyRenderer([build_family(metric) for metric in collector.collect()])

    def render(self, scrape: Scrape) -> list[str]:
        """Return its families."""
        metrics = {metric.name: metric for metric in self._collector.collect()}
        return self._renderer.render(scrape, [({}, metrics)])


def build_family(metric: Metric) -> Family[Metrics]:
    """Return how to read a metric, which is absent where its collector could not read it."""
    labels = tuple(metric.samples[0].labels)

    def read(metrics: Metrics) -> Series:
        samples = metrics[metric.name].samples if metric.name in metrics else ()
        return [tuple(each.labels.values()) for each in samples], [each.value for each in samples]

    return Family(metric.name, metric.type, metric.documentation, read, labels)
