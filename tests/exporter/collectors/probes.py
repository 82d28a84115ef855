"""Probes that were never run: their state is set by the test."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector as ClientCollector

from sqlalchemy_pool_exporter.collectors.exposition import Scrape, choose_exposition
from sqlalchemy_pool_exporter.collectors.registry import Collector
from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.dialects import ServerStatus
from sqlalchemy_pool_exporter.failures import Failure, Reason
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.probes.check import Check, Kind
from sqlalchemy_pool_exporter.settings import DatabaseSettings

SERVER = ServerStatus(
    version="16.4",
    writable=True,
    replication_lag_seconds=None,
    max_connections=100,
    reserved_connections=3,
    connections={"active": 2, "idle": 5, "idle_in_transaction": 1, "other": 6},
)


def build_probe(
    name: str = "shop", url: str = "postgresql+asyncpg://app:secret@db:5432/shop", **keys: Any
) -> Probe:
    return Probe(Database(name, DatabaseSettings.model_validate({"url": url, **keys})))


def build_success(server: ServerStatus | None = SERVER, mismatch: bool | None = None) -> Check:
    return Check(
        ok=True,
        kind=Kind.POOLED,
        failure=None,
        checked_at=1000.0,
        latency_seconds=0.01,
        server=server,
        role_mismatch=mismatch,
    )


def build_failure(reason: Reason = Reason.REFUSED) -> Check:
    return Check(
        ok=False,
        kind=Kind.FRESH,
        failure=Failure(reason, "connection refused"),
        checked_at=1000.0,
        latency_seconds=0.01,
        server=None,
        role_mismatch=None,
    )


class Scraped(ClientCollector):
    """The families in a collector's text."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        text = b"".join(self._collector.render(Scrape(choose_exposition("")))).decode()
        yield from text_string_to_metric_families(text)


def build_registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Scraped(collector))
    return registry


def read_series(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """The samples of that name by the values of their labels, in the order of the labels' names."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }
