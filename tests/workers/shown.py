"""What the exporter shows of the shop's pools in /metrics, summed over processes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from sqlalchemy_pool_exporter.settings import Settings
from sqlalchemy_pool_exporter.web.app import create_app

PREFIX = "sqlalchemy_pool_"


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers that the tests compare."""

    checked_out: int
    connections: int
    processes: int
    opened: int
    closed: int
    checkouts: int
    timeouts: int

    @property
    def totals(self) -> tuple[int, ...]:
        """The counters."""
        return self.opened, self.closed, self.checkouts, self.timeouts


class Exporter:
    """An exporter that reads one folder, over HTTP."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def read(self) -> Numbers:
        """Scrape once; missing numbers are 0."""
        found: dict[str, float] = {}
        for name, labels, value in read_samples(self._scrape()):
            for key in (name, f"{name} {labels.get('reason', '')}"):
                found[key] = found.get(key, 0) + value
        return build_numbers({key.removeprefix(PREFIX): int(value) for key, value in found.items()})

    def list_pools(self) -> set[tuple[str, str]]:
        """Return application and name of each pool that was used."""
        return {
            (labels["application"], labels["pool"])
            for name, labels, value in read_samples(self._scrape())
            if name == f"{PREFIX}checkouts_total" and value
        }

    def read_holders(self) -> dict[str, dict[str, float]]:
        """Return the numbers of each holder."""
        found: dict[str, dict[str, float]] = {}
        for name, labels, value in read_samples(self._scrape()):
            if labels.get("holder"):
                found.setdefault(labels["holder"], {})[name.removeprefix(PREFIX)] = value
        return found

    def read_status(self) -> Any:
        """Return what the status page shows."""
        return self._client.get("/api/v1/status").raise_for_status().json()

    def _scrape(self) -> str:
        answer = self._client.get("/metrics")
        assert answer.status_code == 200
        return answer.text


def read_samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("origin") == "app":
                yield sample.name, sample.labels, sample.value


def build_numbers(found: dict[str, int]) -> Numbers:
    return Numbers(
        checked_out=found.get("checked_out", 0),
        connections=found.get("checked_out", 0) + found.get("checked_in", 0),
        processes=found.get("processes", 0),
        opened=found.get("connections_opened_total", 0),
        closed=found.get("connections_closed_total", 0),
        checkouts=found.get("checkouts_total", 0),
        timeouts=found.get("checkout_failures_total timeout", 0),
    )


@contextmanager
def open_exporter(folder: Path, **app: Any) -> Iterator[Exporter]:
    """Serve on a free port, in its own thread."""
    settings = Settings.model_validate({"app": {"dir": folder, **app}})
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                yield Exporter(client)
        finally:
            server.should_exit = True
            thread.join()
