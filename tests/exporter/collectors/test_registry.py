"""A scrape survives a collector that fails."""

import logging
from collections.abc import Iterator

import pytest

from sqlalchemy_pool_exporter.collectors.exposition import Scrape, choose_exposition
from sqlalchemy_pool_exporter.collectors.registry import TimedCollectors

SUCCESS = "sqlalchemy_pool_exporter_collector_success"
DURATION = "sqlalchemy_pool_exporter_collector_duration_seconds"


class Breakable:
    """Renders one line, and raises if it is broken."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.broken = False

    def render(self, _scrape: Scrape) -> Iterator[bytes]:
        yield f"{self.line}\n".encode()
        if self.broken:
            raise RuntimeError("out of order")


def render(collectors: TimedCollectors) -> list[str]:
    return collectors.render(Scrape(choose_exposition(""))).decode().splitlines()


def read(lines: list[str], name: str, collector: str) -> float:
    (number,) = [
        line.split()[1] for line in lines if line.startswith(f'{name}{{collector="{collector}"}} ')
    ]
    return float(number)


def test_each_collector_has_a_success_and_a_duration() -> None:
    lines = render(TimedCollectors({"first": Breakable("one 1"), "second": Breakable("two 2")}))
    for name in ("first", "second"):
        assert read(lines, SUCCESS, name) == 1
        assert read(lines, DURATION, name) >= 0
    assert lines[:2] == ["one 1", "two 2"]


def test_a_failing_collector_loses_its_families_and_no_others() -> None:
    broken = Breakable("one 1")
    broken.broken = True
    lines = render(TimedCollectors({"first": broken, "second": Breakable("two 2")}))
    assert read(lines, SUCCESS, "first") == 0
    assert lines[0] == "two 2"


def test_a_failure_is_logged_once_until_the_collector_succeeds_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Breakable("one 1")
    collectors = TimedCollectors({"first": collector})
    for broken in (True, True, False, True, True):
        collector.broken = broken
        render(collectors)
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in records] == ["collector failed"] * 2
    assert vars(records[0])["collector"] == "first"
