"""The collectors of prometheus_client look as it prints them."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.exposition import Scrape, choose_exposition
from sqlalchemy_pool_exporter.collectors.process import ClientCollector
from tests.exporter.collectors.probes import build_registry

EXPOSITION = choose_exposition("")


class Shelf(Collector):
    """Gauges whose values a test changes."""

    def __init__(self, **values: float) -> None:
        self.values = values

    def collect(self) -> Iterable[Metric]:
        return [
            GaugeMetricFamily(name, f"About {name}.", value) for name, value in self.values.items()
        ]


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def render(collector: ClientCollector, *names: str) -> str:
    return b"".join(collector.render(Scrape(EXPOSITION, frozenset(names)))).decode()


def test_the_families_of_the_process_are_those_of_prometheus_client() -> None:
    peer = ProcessCollector(registry=None)
    ours = build_registry(ClientCollector(peer)).collect()

    assert [(each.name, each.type, each.documentation) for each in ours] == [
        (each.name, each.type, each.documentation) for each in peer.collect()
    ]


def test_labels_and_numbers_are_those_of_prometheus_client() -> None:
    peer = PlatformCollector(registry=None)

    assert render(ClientCollector(peer)) == EXPOSITION.render(peer.collect())


def test_numbers_are_at_most_a_second_old() -> None:
    shelf, clock = Shelf(books=3, cups=1), Clock()
    collector = ClientCollector(shelf, read_clock=clock)
    before = render(collector)

    shelf.values["books"] = 4
    clock.now += 0.9
    assert render(collector) == before

    clock.now += 0.1
    assert render(collector) == EXPOSITION.render(shelf.collect())
    assert render(collector, "books") == EXPOSITION.render([*shelf.collect()][:1])


def test_a_metric_that_cannot_be_read_has_no_series() -> None:
    shelf, clock = Shelf(books=3, cups=1), Clock()
    collector = ClientCollector(shelf, read_clock=clock)

    clock.now += 1
    del shelf.values["books"]

    assert [line for line in render(collector).splitlines() if line[0] != "#"] == ["cups 1.0"]


def test_without_linux_the_process_has_no_families(tmp_path: Path) -> None:
    assert render(ClientCollector(ProcessCollector(proc=str(tmp_path), registry=None))) == ""
