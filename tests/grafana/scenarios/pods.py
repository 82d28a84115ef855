"""A pod as Kubernetes would run it: processes of an application, and an exporter beside them."""

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

from tests.exporter.commands import RunningExporter, run_exporter

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-m", "tests.grafana.scenarios.application"]
# An order of the application with its keywords, see application.py.
Order = tuple[str, Mapping[str, Any]]
# What the exporter calls it.
APPLICATION = "shop"
# As quick as the rules are, see rules.py.
PROBE = {"interval": "2s", "timeout": "2s", "fresh_connection_interval": "4s"}


@dataclass(frozen=True, slots=True)
class Pod:
    """`folder` is where the processes share their pools, `config` the exporter's file."""

    exporter: RunningExporter
    processes: Sequence[subprocess.Popen[str]]
    folder: Path
    config: Path

    @property
    def address(self) -> str:
        host, port = self.exporter.address
        return f"{host}:{port}"

    def begin(self) -> None:
        """Has the application obey its orders."""
        for process in self.processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()


@dataclass(frozen=True, slots=True)
class Workload:
    """So many processes with a pool each: keywords of create_engine(), and what they do."""

    url: str
    pool: Mapping[str, Any]
    orders: Sequence[Order]
    processes: int = 1


@contextmanager
def run_pod(folder: Path, workload: Workload, databases: Mapping[str, Any]) -> Iterator[Pod]:
    """`databases` are those of the exporter's configuration."""
    shared, config = folder / "pools", folder / "exporter.yaml"
    shared.mkdir(parents=True)
    config.write_text(
        json.dumps({"probe": PROBE, "databases": databases, "app": {"dir": str(shared)}})
    )
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
    environment = {
        **os.environ,
        "SQLALCHEMY_POOL_METRICS_DIR": str(shared),
        "SQLALCHEMY_POOL_METRICS_APP": APPLICATION,
    }
    arguments = [json.dumps(dict(workload.pool)), json.dumps(list(workload.orders))]
    with subprocess.Popen(
        [*PROGRAM, workload.url, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What it loses on purpose, SQLAlchemy complains of.
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
