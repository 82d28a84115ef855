"""The cost of GET /metrics over HTTP: of many pools, of many databases, and of many requests.

    python -m benchmarks.scrape [--parts pools databases requests] [--pools 100] [--databases 500]

The exporter is a process of its own, and its CPU time counts, reading the application's files
included. Between two scrapes every pool is used and every database probed. The peer is
prometheus_client's `generate_latest`, which only prints: it gets the same families with the same
numbers. query-exporter answers with its few lines about one database.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median
from typing import TypeAlias

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from benchmarks.exporters import Client, Exporter, run_ours, run_query_exporter, scrape_for
from benchmarks.tables import print_table
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.process_file import ProcessFile
from sqlalchemy_pool_metrics.snapshot import PoolDescription

FILES = 10
PEER = "prometheus_client's generate_latest"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}
CONNECTIONS = (1, 4)
GZIP = {"Accept-Encoding": "gzip"}
FORMATS = {
    "ours, text": {},
    "ours, text, gzip": GZIP,
    "ours, OpenMetrics": OPENMETRICS,
    "ours, OpenMetrics, gzip": OPENMETRICS | GZIP,
}


def main(arguments: Sequence[str]) -> int:
    """Print a table for each part."""
    options = parse(arguments)
    for part in options.parts:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
            PARTS[part](Path(name), options)
    return 0


def measure_pools(folder: Path, options: argparse.Namespace) -> None:
    """Print the cost of an application's pools."""
    with run_with_pools(folder, name_pools(options.pools), FILES) as (exporter, use):
        title = f"{options.pools} pools in {FILES} files"
        print_costs(title, exporter, use, options.rounds)


def measure_databases(folder: Path, options: argparse.Namespace) -> None:
    """Print the cost of databases, all of which were probed since the last scrape."""
    with run_with_databases(folder, options.databases) as (exporter, probe):
        title = f"{options.databases} databases"
        print_costs(title, exporter, probe, options.rounds)


def measure_requests(folder: Path, options: argparse.Namespace) -> None:
    """Print how many requests per second ours and query-exporter answer, with one database."""
    file = folder / "shop.db"
    file.touch()
    url = f"sqlite:///{file}"
    with ExitStack() as stack:
        exporters = {
            "query-exporter": stack.enter_context(run_query_exporter(folder, url)),
            "ours": stack.enter_context(run_ours(folder, {"shop": {"url": url}}, None)),
        }
        clients = {
            (name, count): [Client(exporter.port) for _ in range(count)]
            for count in CONNECTIONS
            for name, exporter in exporters.items()
        }
        rates: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for which, each in clients.items():
                rates[which].append(scrape_for(each, options.seconds))
        rows = []
        for name, exporter in exporters.items():
            lines = len(Client(exporter.port).get("/metrics").splitlines())
            row = [name, f"{lines}"]
            for count in CONNECTIONS:
                own, peers = rates[name, count], rates["query-exporter", count]
                row += [f"{median(own):.0f}", f"{median(map(divide, own, peers)):.2f}"]
            rows.append(row)
    header = ["exporter", "lines", "one connection", "ratio", "four", "ratio"]
    print_table("Requests per second, one database", header, rows)


PARTS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "pools": measure_pools,
    "databases": measure_databases,
    "requests": measure_requests,
}


Change: TypeAlias = Callable[[], object]
"""Changes the numbers that the next scrape shows."""


@contextmanager
def run_with_pools(
    folder: Path, names: Sequence[str], files: int
) -> Iterator[tuple[Exporter, Change]]:
    """Run the exporter with pools of an application; return how to use the pools, too."""
    pools = Pools(folder, names, files)
    with run_ours(folder, {}, folder) as exporter:
        yield exporter, pools.use


@contextmanager
def run_with_databases(folder: Path, count: int) -> Iterator[tuple[Exporter, Change]]:
    """Run the exporter with SQLite databases; return how to probe them, too."""
    files = [folder / f"db{number}.db" for number in range(count)]
    for file in files:
        file.touch()
    databases = {file.stem: {"url": f"sqlite:///{file}"} for file in files}
    with run_ours(folder, databases, None) as exporter:
        yield exporter, lambda: Client(exporter.port).get("/health/db")


def name_pools(count: int) -> list[str]:
    """Return different names."""
    return [f"pool-{number}" for number in range(count)]


class Pools:
    """Pools of an application, in as many files as it has processes; they live as long as this one.

    Those with the same name are one pool in the metrics.
    """

    def __init__(self, folder: Path, names: Sequence[str], files: int) -> None:
        self._random = Random(1)  # noqa: S311 - only durations
        shared = [ProcessFile.create(folder, "shop", {}, lambda: None) for _ in range(files)]
        self._blocks = [self._share(*each) for each in zip(names, cycle(shared), strict=False)]
        for _ in range(20):
            self.use()

    def use(self) -> None:
        """Check connections out of each pool, for times of any length."""
        for block in self._blocks:
            now_ns = time.monotonic_ns()
            with block.lock:
                for _ in range(20):
                    wait_ns, hold_ns = (
                        round(self._random.lognormvariate(mu, 2)) for mu in (12, 16)
                    )
                    started_ns = block.record_checkout(wait_ns, now_ns)
                    block.record_return(started_ns, now_ns, now_ns + hold_ns)

    @staticmethod
    def _share(name: str, file: ProcessFile) -> Block:
        pool = PoolDescription(name, "shop", size=5, max_connections=15, waits=True)
        block, buffer = Block(pool), file.take()
        assert buffer is not None
        block.move(buffer)
        file.publish(buffer)
        return block


class Families(Collector):
    """The families in a text."""

    def __init__(self, text: str) -> None:
        self._families = list(text_string_to_metric_families(text))

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def print_costs(what: str, exporter: Exporter, change: Change, rounds: int) -> None:
    """Print the CPU time of a scrape in each format, and of the peer printing the same."""
    client = Client(exporter.port)
    body = client.get("/metrics")
    families = Families(body.decode())
    assert generate_latest(families) == body
    spent_ns: defaultdict[str, list[int]] = defaultdict(list)
    for _ in range(rounds):
        spent_ns[PEER].append(measure_print(families))
        for name, headers in FORMATS.items():
            change()
            spent_ns[name].append(measure_scrape(exporter, client, headers))
    rows = [
        [name, f"{median(spent) / 1e6:.2f}", f"{median(map(divide, spent_ns[PEER], spent)):.1f}"]
        for name, spent in spent_ns.items()
    ]
    lines = body.count(b"\n")
    title = f"A scrape of {what}, {lines} lines"
    print_table(title, ["what", "ms", "times as fast"], rows)


def measure_print(registry: Collector) -> int:
    """Return the CPU time, in nanoseconds, in which prometheus_client prints what is registered."""
    began_ns = time.process_time_ns()
    generate_latest(registry)
    return time.process_time_ns() - began_ns


def measure_scrape(
    exporter: Exporter, client: Client, headers: Mapping[str, str] | None = None
) -> int:
    """Return the CPU time of the exporter for an answer to the client, in nanoseconds."""
    began_ns = exporter.read_cpu_ns()
    client.get("/metrics", headers)
    return exporter.read_cpu_ns() - began_ns


def divide(first: float, second: float) -> float:
    """Return the ratio of two measurements in one round."""
    return first / second


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pools", type=int, default=100)
    parser.add_argument("--databases", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.2, help="of requests in each round")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
