"""Runs the collectors of a scrape, times each, and survives one that fails."""

import logging
import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)


class TimedCollectors(Collector):
    """Collects from every collector; one that raises loses its own families and no others.

    Use it in one thread: scrapes run in the event loop's.
    """

    def __init__(self, collectors: Mapping[str, Collector]) -> None:
        """Take the collectors by the value of their label."""
        self._collectors = dict(collectors)
        self._failing: set[str] = set()

    def collect(self) -> Iterator[Metric]:
        """Yield all families, then how long each collector took and whether it succeeded."""
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
        """Log a failure once until the collector succeeds again: scrapes are frequent."""
        if name not in self._failing:
            logger.exception("collector failed", extra={"collector": name})
        self._failing.add(name)


def build_registry(collectors: Mapping[str, Collector]) -> CollectorRegistry:
    """Return a registry of these collectors by name, and of those about this process."""
    about_process = {
        "process": ProcessCollector(registry=None),
        "python": PlatformCollector(registry=None),
    }
    registry = CollectorRegistry()
    registry.register(TimedCollectors({**collectors, **about_process}))
    return registry
