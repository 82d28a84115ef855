"""A real Prometheus with the project's rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from grafana.stage.rules import write_rules
from tests.servers.endpoints import open_closed_port
from tests.servers.programs import Program, find_program, find_prometheus_3

Json = dict[str, Any]
PATIENCE = 60.0
# Two scrapes fit into the shortest window of a rate, four seconds, even on a busy machine.
SCRAPE_INTERVAL = "1500ms"


@dataclass(frozen=True, slots=True)
class Target:
    """An exporter at an address like 127.0.0.1:9723, and the labels of its scrape."""

    job: str
    address: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that answers queries."""

    client: httpx.Client

    def query(self, expr: str, time: float | None = None) -> list[Json]:
        """Return the samples of an instant query, now or at a Unix time."""
        found: list[Json] = self._ask("query", {"query": expr, "time": time})["result"]
        return found

    def query_range(self, expr: str, start: float, end: float, step: float = 1) -> list[Json]:
        """Return the series of a query between two Unix times."""
        asked = {"query": expr, "start": start, "end": end, "step": step}
        found: list[Json] = self._ask("query_range", asked)["result"]
        return found

    def list_alerts(self) -> list[Json]:
        """Return the pending and firing alerts."""
        found: list[Json] = self._ask("alerts", {})["alerts"]
        return found

    def is_ready(self) -> bool:
        """Return whether it answers."""
        try:
            return self.client.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def _ask(self, what: str, parameters: Mapping[str, Any]) -> Json:
        """Return the data of an answer; raises AssertionError with Prometheus' own error."""
        given = {name: value for name, value in parameters.items() if value is not None}
        answer = self.client.get(f"/api/v1/{what}", params=given).json()
        assert answer["status"] == "success", f"{answer['error']}: {given}"
        found: Json = answer["data"]
        return found


@contextmanager
def run_prometheus(
    folder: Path, targets: Sequence[Target], native: bool = False
) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes the targets and evaluates the sped-up rules every second.

    With `native` it is Prometheus 3, and converts histograms to native ones with custom buckets.
    """
    options = []
    if native:
        program = find_prometheus_3("prometheus")
        options = ["--enable-feature=native-histograms"]
    else:
        program = find_program("prometheus", package="prometheus")
    with open_closed_port() as port:
        address = f"127.0.0.1:{port}"
    config = build_config(targets, write_rules(folder))
    if native:
        config["global"]["convert_classic_histograms_to_nhcb"] = True
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        *options,
    ]
    with (
        Program(command, folder / "prometheus.log") as process,
        httpx.Client(base_url=f"http://{address}", timeout=PATIENCE) as client,
    ):
        prometheus = Prometheus(client)
        process.wait_until_ready(prometheus.is_ready)
        yield prometheus


def build_config(targets: Sequence[Target], rules: Sequence[Path]) -> Json:
    """Return Prometheus' configuration."""
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
