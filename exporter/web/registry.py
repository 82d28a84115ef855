"""What a scrape reads, and what people are shown of the application: made of what there is.

It knows collectors, nothing of requests and of how long any of them lives.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector

from exporter.collectors.app_pools import AppPools
from exporter.collectors.labels import read_label_names
from exporter.collectors.timed import TimedCollectors
from exporter.probes import Probe
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS


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
