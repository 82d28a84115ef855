"""Runs the collectors of a scrape, times each, and survives one that fails."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from prometheus_client import PlatformCollector, ProcessCollector

from sqlalchemy_pool_exporter.collectors.exposition import Scrape
from sqlalchemy_pool_exporter.collectors.families import FamilyRenderer
from sqlalchemy_pool_exporter.collectors.process import ClientCollector
from sqlalchemy_pool_metrics.families import Family, single

logger = logging.getLogger(__name__)


class Collector(Protocol):
    """Reads what it knows at each scrape."""

    def render(self, scrape: Scrape) -> Iterable[bytes]:
        """Return the families that the scrape selects, as pieces of the body."""


class Outcome(NamedTuple):
    """How a collector did in this scrape."""

    seconds: float
    is_successful: bool


FAMILIES: Final[tuple[Family[Outcome], ...]] = (
    Family(
        "sqlalchemy_pool_exporter_collector_duration_seconds",
        "gauge",
        "Time the collector took in this scrape, in seconds.",
        lambda outcome: single(outcome.seconds),
    ),
    Family(
        "sqlalchemy_pool_exporter_collector_success",
        "gauge",
        "Whether the collector succeeded in this scrape: 1 or 0. "
        "The families of one that failed are missing from the scrape.",
        lambda outcome: single(outcome.is_successful),
    ),
)


class TimedCollectors:
    """Collects from every collector; one that raises loses its own families and no others.

    Use it in one thread: scrapes run in the event loop's.
    """

    def __init__(self, collectors: Mapping[str, Collector]) -> None:
        """Take the collectors by the value of their label."""
        self._collectors = dict(collectors)
        self._outcomes = FamilyRenderer(FAMILIES)
        self._failing: set[str] = set()

    def render(self, scrape: Scrape) -> bytes:
        """Return all families, then how long each collector took and whether it succeeded."""
        pieces: list[bytes] = []
        outcomes = []
        for name, collector in self._collectors.items():
            began_ns = time.perf_counter_ns()  # a few digits, which are printed faster
            rendered = self._render_from(name, collector, scrape)
            spent_ns = time.perf_counter_ns() - began_ns
            outcome = Outcome(spent_ns / 1e9, rendered is not None)
            outcomes.append(({"collector": name}, outcome))
            pieces += rendered or ()
        pieces += self._outcomes.render(scrape, outcomes)
        return b"".join([*pieces, scrape.exposition.end.encode()])

    def _render_from(self, name: str, collector: Collector, scrape: Scrape) -> list[bytes] | None:
        try:
            pieces = list(collector.render(scrape))
        except Exception:
            self._log_failure(name)
            return None
        self._failing.discard(name)
        return pieces

    def _log_failure(self, name: str) -> None:
        """Log a failure once until the collector succeeds again: scrapes are frequent."""
        if name not in self._failing:
            logger.exception("collector failed", extra={"collector": name})
        self._failing.add(name)


def build_collectors(collectors: Mapping[str, Collector]) -> TimedCollectors:
    """Return these collectors by name, and those about this process."""
    return TimedCollectors(
        {
            **collectors,
            "process": ClientCollector(ProcessCollector(registry=None)),
            "python": ClientCollector(PlatformCollector(registry=None)),
        }
    )
