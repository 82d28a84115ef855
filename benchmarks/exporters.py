"""Exporters as processes of their own: their CPU time, and clients that wait for their answers."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.environments import QUERY_EXPORTER, ROOT, find_python
from tests.servers.endpoints import LOCALHOST, find_free_port

__all__ = ["Client", "Exporter", "run_ours", "run_query_exporter", "scrape_for"]

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Exporter:
    """A running exporter."""

    process: subprocess.Popen[bytes]
    port: int

    def read_cpu_ns(self) -> int:
        """Return the CPU time of all threads that live, in nanoseconds."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads)

    def read_memory_mb(self) -> float:
        """Return the resident memory in MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Client:
    """A connection for one request after the other; it spends little CPU time itself."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOCALHOST, port), PATIENCE_SECONDS)
        self._received = bytearray()
        self._length: int | None = None

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of an answer."""
        self.ask(path, headers)
        while not self.receive():
            pass
        return bytes(self._received)

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a request."""
        lines = [f"GET {path} HTTP/1.1", "Host: benchmark"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._received.clear()
        self._length = None
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def receive(self) -> bool:
        """Receive what has arrived; return whether the answer is complete."""
        self._received += self.socket.recv(1 << 20)
        if self._length is None:
            head, end, body = self._received.partition(b"\r\n\r\n")
            if not end:
                return False
            status, *lines = head.decode().lower().splitlines()
            assert status.split()[1] == "200", status
            (length,) = [line.split()[1] for line in lines if line.startswith("content-length:")]
            self._received, self._length = body, int(length)
        return len(self._received) >= self._length


def scrape_for(clients: Sequence[Client], seconds: float) -> float:
    """Return how many answers per second the clients get, each with one request at a time."""
    answers, waiting, began = 0, len(clients), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.ask("/metrics")
        while waiting:
            for key, _ in selector.select():
                if key.data.receive():
                    answers += 1
                    if time.perf_counter() - began < seconds:
                        key.data.ask("/metrics")
                    else:
                        waiting -= 1
    return answers / (time.perf_counter() - began)


@contextmanager
def run_ours(folder: Path, databases: Mapping[str, Any], pools: Path | None) -> Iterator[Exporter]:
    """Run our exporter, which probes its databases once, and then when asked."""
    config = folder / "ours.yaml"
    content = {
        "databases": databases,
        "probe": {"interval": "1h", "timeout": "1m"},
        "app": {"dir": str(pools) if pools else None},
    }
    config.write_text(yaml.safe_dump(content))
    port = find_free_port()
    options = ["--config", str(config), "--listen", f"{LOCALHOST}:{port}"]
    with _run([sys.executable, "-m", "sqlalchemy_pool_exporter", *options], port) as exporter:
        yield exporter


@contextmanager
def run_query_exporter(folder: Path, url: str) -> Iterator[Exporter]:
    """Run query-exporter, which sends one query in an hour."""
    config = folder / "query-exporter.yaml"
    query = {"interval": "1h", "databases": ["shop"], "metrics": ["up"], "sql": "SELECT 1 AS up"}
    content = {
        "databases": {"shop": {"dsn": url}},
        "metrics": {"up": {"type": "gauge", "description": "Whether it answers."}},
        "queries": {"up": query},
    }
    config.write_text(yaml.safe_dump(content))
    port = find_free_port()
    program = find_python(QUERY_EXPORTER).with_name(QUERY_EXPORTER)
    options = ["--config", str(config), "--host", LOCALHOST, "--port", str(port)]
    with _run([program, *options, "--log-level", "error"], port) as exporter:
        yield exporter


@contextmanager
def _run(command: Sequence[str | Path], port: int) -> Iterator[Exporter]:
    quiet = subprocess.DEVNULL
    # Python keeps its bytecode, as it does for users.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet
    ) as process:
        try:
            _wait(process, port)
            yield Exporter(process, port)
            assert process.poll() is None, f"{command} ended with {process.returncode}"
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        assert time.monotonic() < deadline, f"{process.args!r} does not listen"
        try:
            Client(port).socket.close()
            return
        except ConnectionRefusedError:
            time.sleep(0.005)
