"""A pod as in Kubernetes: processes of an application, and an exporter beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana.stage.rules import FACTOR
from tests.exporter.commands import RunningExporter, run_exporter

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "grafana.stage.application"]
# An order of the application with its keywords, see application.py.
Order = tuple[str, Mapping[str, Any]]
# The label `application` of its metrics.
APPLICATION = "shop"
# As fast as the rules are, see rules.py.
PROBE = {"interval": "2s", "timeout": "2s", "fresh_connection_interval": "4s"}
LEAK_SECONDS = 300 // FACTOR


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod.

    Attributes:
        folder: Where the processes share their pools.
        config: The exporter's configuration file.
    """

    exporter: RunningExporter
    processes: Sequence[subprocess.Popen[str]]
    folder: Path
    config: Path

    @property
    def address(self) -> str:
        """The exporter's address, like 127.0.0.1:9723."""
        host, port = self.exporter.address
        return f"{host}:{port}"

    def begin(self) -> None:
        """Let the application start with its orders."""
        for process in self.processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()


@dataclass(frozen=True, slots=True)
class Workload:
    """Processes with a pool each: keywords of create_engine(), and orders."""

    url: str
    pool: Mapping[str, Any]
    orders: Sequence[Order]
    processes: int = 1


@contextmanager
def run_pod(folder: Path, workload: Workload, databases: Mapping[str, Any]) -> Iterator[Pod]:
    """Run an application and an exporter with these databases."""
    shared, config = folder / "pools", folder / "exporter.yaml"
    shared.mkdir(parents=True)
    app = {"dir": str(shared), "leak_threshold": f"{LEAK_SECONDS}s"}
    config.write_text(json.dumps({"probe": PROBE, "databases": databases, "app": app}))
    with ExitStack() as stack:
        started = [
            stack.enter_context(start_process(workload, shared)) for _ in range(workload.processes)
        ]
        exporter = stack.enter_context(
            run_exporter(folder / "exporter.log", "--config", str(config))
        )
        for process in started:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        yield Pod(exporter, started, shared, config)


@contextmanager
def start_process(workload: Workload, shared: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process of the application."""
    environment = {
        **os.environ,
        "SQLALCHEMY_POOL_METRICS_DIR": str(shared),
        "SQLALCHEMY_POOL_METRICS_APP": APPLICATION,
        "SQLALCHEMY_POOL_METRICS_HOLDERS": "1",
    }
    arguments = [json.dumps(dict(workload.pool)), json.dumps(list(workload.orders))]
    with subprocess.Popen(
        [*PROGRAM, workload.url, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # SQLAlchemy complains of the connections that it leaks on purpose.
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
