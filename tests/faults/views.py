"""What a running exporter shows of one database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.commands import RunningExporter
from tests.servers.conditions import wait_until


@dataclass(frozen=True, slots=True)
class View:
    """A database of an exporter; reading metrics does not probe it, a check does."""

    exporter: RunningExporter
    client: httpx.Client
    database: str

    def read(self, name: str, **labels: str) -> float | None:
        """Return a metric of the database by its name without `sqlalchemy_`, or None."""
        wanted = {"database": self.database, **labels}.items()
        for family in text_string_to_metric_families(self.client.get("/metrics").text):
            for sample in family.samples:
                if sample.name == f"sqlalchemy_{name}" and wanted <= sample.labels.items():
                    return float(sample.value)
        return None

    def read_errors(self) -> dict[str, float]:
        """Return the number of failed probes by reason, without zeros."""
        text = self.client.get("/metrics").text
        return {
            sample.labels["reason"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "sqlalchemy_database_probe_errors_total"
            and sample.labels["database"] == self.database
            and sample.value
        }

    def check(self) -> dict[str, Any]:
        """Check the database and return its health."""
        health: dict[str, Any] = self.client.get(f"/health/db/{self.database}").json()
        return health

    def is_up(self) -> bool:
        return self.read("database_up") == 1

    def wait_until_up(self) -> None:
        """Check the database until it is up."""
        wait_until(lambda: self.check()["status"] == "healthy", f"{self.database} to be up")

    def wait_until_down(self, reason: str) -> dict[str, Any]:
        """Check the database until it is down for this reason, and return its health."""
        found: dict[str, Any] = {}

        def is_down() -> bool:
            found.update(self.check())
            return found.get("reason") == reason

        wait_until(is_down, f"{self.database} to be down: {reason}")
        return found

    def wait_for_success(self, kind: str) -> None:
        """Check the database until one more probe of this kind succeeds."""

        def count() -> float:
            self.check()
            return self.read("database_probes_total", kind=kind, result="ok") or 0

        before = count()
        wait_until(lambda: count() > before, f"a {kind} probe of {self.database}")

    def read_log(self) -> list[str]:
        """Return the log lines of the database, one for each change."""
        lines = self.exporter.log.read_text().splitlines()
        return [line for line in lines if f"database {self.database} " in line]


@contextmanager
def open_view(exporter: RunningExporter, database: str = "shop") -> Iterator[View]:
    with exporter.open_client() as client:
        yield View(exporter, client, database)
