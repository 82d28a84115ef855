"""How long exporters take from their start to the first answer, and how much memory they need.

    python -m benchmarks.start [--databases 500] [--rounds N] [--without-peer]

Ours with one PostgreSQL and with many databases, and query-exporter with one, start in turns. The
many refuse connections: their number counts at the start, not what their probes find.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.exporters import Client, Exporter, run_ours, run_query_exporter
from benchmarks.tables import print_table
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import LOCALHOST, open_closed_port

# From the first answer on; the probe, and what it imports, are then part of the memory.
SETTLING_SECONDS = 1.0

Run = Callable[[], AbstractContextManager[Exporter]]


class Start(NamedTuple):
    """One start: until the first answer, and after it."""

    seconds: float
    cpu_seconds: float
    memory_mb: float


def main(arguments: Sequence[str]) -> int:
    """Print a table of the starts."""
    options = parse(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as name,
        EmbeddedPostgres(Path(name, "postgres")) as server,
        open_closed_port() as closed,
    ):
        folder = Path(name)
        one = {"shop": {"url": server.url(driver="asyncpg")}}
        many = {
            f"shop{number}": {"url": f"postgresql://{LOCALHOST}:{closed}/shop{number}"}
            for number in range(options.databases)
        }
        runs: dict[str, tuple[Run, str]] = {
            "ours, one database": (partial(run_ours, folder, one, None), "/-/healthy"),
            f"ours, {options.databases} databases": (
                partial(run_ours, folder, many, None),
                "/-/healthy",
            ),
        }
        if not options.without_peer:
            peer = partial(run_query_exporter, folder, server.url(driver="psycopg"))
            runs["query-exporter, one database"] = (peer, "/")
        compare(runs, options.rounds)
    return 0


def compare(runs: Mapping[str, tuple[Run, str]], rounds: int) -> None:
    """Start each in turn, and print medians, and medians of the ratios to the first one."""
    starts: dict[str, list[Start]] = {name: [] for name in runs}
    for run, path in runs.values():
        measure(run, path)  # writes the bytecode, and fills the kernel's cache
    for _ in range(rounds):
        for name, (run, path) in runs.items():
            starts[name].append(measure(run, path))
    first = next(iter(starts.values()))
    header = ["exporter", "s", "ratio", "s of CPU", "ratio", "MB"]
    rows = [
        [
            name,
            f"{median(start.seconds for start in own):.2f}",
            f"{median(a.seconds / b.seconds for a, b in zip(own, first, strict=True)):.2f}",
            f"{median(start.cpu_seconds for start in own):.2f}",
            f"{median(a.cpu_seconds / b.cpu_seconds for a, b in zip(own, first, strict=True)):.2f}",
            f"{median(start.memory_mb for start in own):.1f}",
        ]
        for name, own in starts.items()
    ]
    print_table("From the start to the first answer, and resident memory", header, rows)


def measure(run: Run, path: str) -> Start:
    """Start an exporter, wait until it answers, and end it."""
    began = time.perf_counter()
    with run() as exporter:
        client = Client(exporter.port)
        client.get(path)
        seconds, cpu_seconds = time.perf_counter() - began, exporter.read_cpu_ns() / 1e9
        client.socket.close()
        time.sleep(SETTLING_SECONDS)
        return Start(seconds, cpu_seconds, exporter.read_memory_mb())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--databases", type=int, default=500, help="how many are many")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--without-peer", action="store_true", help="ours alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
