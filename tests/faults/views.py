"""What a running exporter shows of one database, as a scrape reads it."""

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
    """One database of one exporter; reading metrics makes no probe, a check does."""

    exporter: RunningExporter
    client: httpx.Client
    database: str

    def read(self, name: str, **labels: str) -> float | None:
        """A metric of the database, by its name without `sqlalchemy_`; None where it is absent."""
        wanted = {"database": self.database, **labels}.items()
        for family in text_string_to_metric_families(self.client.get("/metrics").text):
            for sample in family.samples:
                if sample.name == f"sqlalchemy_{name}" and wanted <= sample.labels.items():
                    return float(sample.value)
        return None

    def read_errors(self) -> dict[str, float]:
        """How many probes failed, by reason; without the reasons that none had."""
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
        """Its health, checked now."""
        health: dict[str, Any] = self.client.get(f"/health/db/{self.database}").json()
        return health

    def is_up(self) -> bool:
        return self.read("database_up") == 1

    def wait_until_up(self) -> None:
        """Has it checked until it is."""
        wait_until(lambda: self.check()["status"] == "healthy", f"{self.database} to be up")

    def wait_until_down(self, reason: str) -> dict[str, Any]:
        """Has it checked until it is, for this reason; its health."""
        found: dict[str, Any] = {}

        def is_down() -> bool:
            found.update(self.check())
            return found.get("reason") == reason

        wait_until(is_down, f"{self.database} to be down: {reason}")
        return found

    def wait_for_success(self, kind: str) -> None:
        """Has it checked until one more probe of this kind has succeeded."""

        def count() -> float:
            self.check()
            return self.read("database_probes_total", kind=kind, result="ok") or 0

        before = count()
        wait_until(lambda: count() > before, f"a {kind} probe of {self.database}")

    def read_log(self) -> list[str]:
        """What was logged about the database, a line for each change."""
        lines = self.exporter.log.read_text().splitlines()
        return [line for line in lines if f"database {self.database} " in line]


@contextmanager
def open_view(exporter: RunningExporter, database: str = "shop") -> Iterator[View]:
    with exporter.open_client() as client:
        yield View(exporter, client, database)
