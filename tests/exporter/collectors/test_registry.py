"""A scrape survives a collector that fails."""

import logging
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.registry import TimedCollectors

SUCCESS = "sqlalchemy_pool_exporter_collector_success"
DURATION = "sqlalchemy_pool_exporter_collector_duration_seconds"


class Breakable(Collector):
    """Yields one family, and raises if it is broken."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.broken = False

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(self.family, "Something.", value=1)
        if self.broken:
            raise RuntimeError("out of order")


def build_registry(**collectors: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(TimedCollectors(collectors))
    return registry


def test_each_collector_has_a_success_and_a_duration() -> None:
    registry = build_registry(first=Breakable("one"), second=Breakable("two"))
    for name in ("first", "second"):
        assert registry.get_sample_value(SUCCESS, {"collector": name}) == 1
        assert (registry.get_sample_value(DURATION, {"collector": name}) or -1) >= 0
    assert registry.get_sample_value("one") == 1
    assert registry.get_sample_value("two") == 1


def test_a_failing_collector_loses_its_families_and_no_others() -> None:
    broken = Breakable("one")
    broken.broken = True
    registry = build_registry(first=broken, second=Breakable("two"))
    assert registry.get_sample_value(SUCCESS, {"collector": "first"}) == 0
    assert registry.get_sample_value("one") is None
    assert registry.get_sample_value("two") == 1


def test_a_failure_is_logged_once_until_the_collector_succeeds_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Breakable("one")
    registry = build_registry(first=collector)
    for broken in (True, True, False, True, True):
        collector.broken = broken
        list(registry.collect())
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in records] == ["collector failed"] * 2
    assert vars(records[0])["collector"] == "first"
