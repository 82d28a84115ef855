"""Runs the collectors of a scrape, times each and survives the ones that fail.

It knows collectors by name, not what they collect.
"""

import logging
import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.families import read_label_names
from sqlalchemy_pool_exporter.collectors.pool_sums import AppPools
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS

logger = logging.getLogger(__name__)


class TimedCollectors(Collector):
    """Collects from every collector; one that raises loses its own families and no others.

    Not for use by several threads at once: a scrape runs on the event loop.
    """

    def __init__(self, collectors: Mapping[str, Collector]) -> None:
        """Takes the collectors by the name that becomes their label."""
        self._collectors = dict(collectors)
        self._failing: set[str] = set()

    def collect(self) -> Iterator[Metric]:
        """Yields all families, then how long each collector took and whether it succeeded."""
        durations = GaugeMetricFamily(
            "sqlalchemy_pool_exporter_collector_duration_seconds",
            "Time the collector took in this scrape, in seconds.",
            labels=["collector"],
        )
        successes = GaugeMetricFamily(
            "sqlalchemy_pool_exporter_collector_success",
            "Whether the collector succeeded in this scrape: 1 or 0. "
            "The families of one that failed are missing from the scrape.",
            labels=["collector"],
        )
        for name, collector in self._collectors.items():
            start = time.perf_counter()
            families = self._collect_from(name, collector)
            durations.add_metric([name], time.perf_counter() - start)
            successes.add_metric([name], families is not None)
            yield from families or ()
        yield durations
        yield successes

    def _collect_from(self, name: str, collector: Collector) -> list[Metric] | None:
        try:
            families = list(collector.collect())
        except Exception:
            self._log_failure(name)
            return None
        self._failing.discard(name)
        return families

    def _log_failure(self, name: str) -> None:
        """Says it once until the collector succeeds again: scrapes are frequent."""
        if name not in self._failing:
            logger.exception("collector failed", extra={"collector": name})
        self._failing.add(name)


def build_registry(collectors: Mapping[str, Collector]) -> CollectorRegistry:
    """Returns a registry of our own with all families, each group a collector by name."""
    about_process = {
        "process": ProcessCollector(registry=None),
        "python": PlatformCollector(registry=None),
    }
    registry = CollectorRegistry()
    registry.register(TimedCollectors({**collectors, **about_process}))
    return registry


def build_app_sums(probes: Mapping[str, Probe]) -> AppPools:
    """Returns what sums the application's pools for people: over processes in any case."""
    configured = read_label_names(probe.labels for probe in probes.values())
    return AppPools(probes.values(), (*POOL_LABELS, *configured))
