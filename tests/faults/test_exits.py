"""SIGTERM while a database hangs: the exporter exits before its deadline of 1.8 s.

Status 0 shows it: at the deadline SIGALRM ends the process. See also tests/exporter/test_cli.py,
where clients hang.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.exporter.commands import RunningExporter, configure, run_exporter
from tests.faults.catalogue import CATALOGUE, Fault, Noticed
from tests.faults.views import open_view

# No probe ends by itself during a test.
PROBE = {
    "PROBE__INTERVAL": "60s",
    "PROBE__TIMEOUT": "60s",
    "PROBE__FRESH_CONNECTION_INTERVAL": "60s",
}
MET = ("silent", "black-hole", "paused", "full", "locked", "asyncpg-refuses")
FAULTS = [fault for fault in CATALOGUE if fault.name.endswith(MET)]


@contextmanager
def ask_for_health(exporter: RunningExporter) -> Iterator[socket.socket]:
    """Send a request that the exporter is working on."""
    with socket.create_connection(exporter.address) as client:
        client.sendall(b"GET /health/db HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with exporter.open_client() as other:
            other.get("/metrics")
        yield client


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def configure_for(fault: Fault, url: str) -> dict[str, str]:
    return configure("shop", URL=url, PROBE__QUERY=fault.query, **PROBE)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_an_exporter_with_a_fault_at_its_start_exits_in_time(
    fault: Fault, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with fault.open_scene(request) as scene, fault.strike(scene):
        settings = configure_for(fault, scene.url)
        with run_exporter(tmp_path / "log", settings=settings) as exporter:
            with ask_for_health(exporter) as client:
                assert exporter.stop() == 0
                assert read_all(client).startswith(b"HTTP/1.1 503 ")
            assert "Traceback" not in exporter.log.read_text()


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.noticed is Noticed.ANY], ids=str
)
def test_an_exporter_with_a_fault_in_open_connections_exits_in_time(
    fault: Fault, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with fault.open_scene(request) as scene:
        settings = configure_for(fault, scene.url)
        with run_exporter(tmp_path / "log", settings=settings) as exporter:
            with open_view(exporter) as shop:
                shop.wait_for_success("pooled")
            with fault.strike(scene), ask_for_health(exporter) as client:
                assert exporter.stop() == 0
                assert read_all(client).startswith(b"HTTP/1.1 503 ")
            assert "Traceback" not in exporter.log.read_text()
