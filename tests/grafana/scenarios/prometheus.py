"""A real Prometheus with the project's rules, and what it can be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.grafana.scenarios.rules import write_rules
from tests.servers.endpoints import open_closed_port
from tests.servers.programs import Program, find_program

Json = dict[str, Any]
PATIENCE = 60.0
# Two fit into the shortest window of a rate, four seconds; and a busy machine may take its time.
SCRAPE_INTERVAL = "1500ms"


@dataclass(frozen=True, slots=True)
class Target:
    """An exporter at an address like 127.0.0.1:9723, and the labels that Prometheus gives it."""

    job: str
    address: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prometheus:
    client: httpx.Client

    def query(self, expr: str, time: float | None = None) -> list[Json]:
        """The samples of an instant query, `metric` and `value`; of now, or of a unix time."""
        found: list[Json] = self._ask("query", {"query": expr, "time": time})["result"]
        return found

    def query_range(self, expr: str, start: float, end: float, step: float = 1) -> list[Json]:
        """The series from one unix time to another, `metric` and `values`."""
        asked = {"query": expr, "start": start, "end": end, "step": step}
        found: list[Json] = self._ask("query_range", asked)["result"]
        return found

    def list_alerts(self) -> list[Json]:
        """Alerts that fire or are about to: `labels`, `annotations`, `state`."""
        found: list[Json] = self._ask("alerts", {})["alerts"]
        return found

    def is_ready(self) -> bool:
        try:
            return self.client.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def _ask(self, what: str, parameters: Mapping[str, Any]) -> Json:
        """Raises AssertionError with Prometheus' own words where it cannot be answered."""
        given = {name: value for name, value in parameters.items() if value is not None}
        answer = self.client.get(f"/api/v1/{what}", params=given).json()
        assert answer["status"] == "success", f"{answer['error']}: {given}"
        found: Json = answer["data"]
        return found


@contextmanager
def run_prometheus(folder: Path, targets: Sequence[Target]) -> Iterator[Prometheus]:
    """Scrapes the targets, and evaluates the quickened rules each second."""
    program = find_program("prometheus", package="prometheus")
    with open_closed_port() as port:
        address = f"127.0.0.1:{port}"
    config = build_config(targets, write_rules(folder))
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with (
        Program(command, folder / "prometheus.log") as process,
        httpx.Client(base_url=f"http://{address}", timeout=PATIENCE) as client,
    ):
        prometheus = Prometheus(client)
        process.wait_until_ready(prometheus.is_ready)
        yield prometheus


def build_config(targets: Sequence[Target], rules: Sequence[Path]) -> Json:
    jobs: dict[str, list[Json]] = {}
    for target in targets:
        static = {"targets": [target.address], "labels": dict(target.labels)}
        jobs.setdefault(target.job, []).append(static)
    return {
        "global": {
            "scrape_interval": SCRAPE_INTERVAL,
            "scrape_timeout": SCRAPE_INTERVAL,
            "evaluation_interval": "1s",
        },
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": configs} for job, configs in jobs.items()
        ],
    }
