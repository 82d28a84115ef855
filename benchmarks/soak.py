"""A long run of the exporter: memory, descriptors, threads and connections over scrapes.

    python -m benchmarks.soak [--scrapes 100000] [--clients 4] [--beat SECONDS]

An exporter with databases on a real PostgreSQL, two of them behind ports that refuse, go silent and
come back; workers of an application that are killed and replaced; a configuration that changes and
is reloaded; and clients that scrape all the while, as fast as they are answered. At start (after a
tenth of the scrapes), middle and end the load stops for a moment and everything is counted. Exits
with 1 if something has grown beyond its tolerance.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import psycopg
import yaml

from benchmarks.environments import AGENT, ROOT
from benchmarks.forwarder import Forwarder, run_forwarder
from benchmarks.tables import print_table
from tests.servers.embedded_postgres import EmbeddedPostgres

CASE = Path(__file__).with_name("soak_case.py")
WORKERS = 4
PATIENCE_SECONDS = 60.0
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "gzip",
}
# Growth of these that is no leak.
TOLERATED = {"descriptors": 3, "threads": 2, "server connections": 2}
MEMORY = "resident memory, MB"


class Sample(NamedTuple):
    """What the exporter holds at one moment; `connections` are counted by the server."""

    memory_mb: float
    descriptors: int
    threads: int
    connections: int


class BrokenError(Exception):
    """The exporter no longer works."""


@dataclass
class Exporter:
    """The measured process, its configuration and its address."""

    process: subprocess.Popen[bytes]
    config: Path
    address: tuple[str, int]

    def read_memory_mb(self) -> float:
        """Return the resident memory in MB."""
        found = re.search(r"VmRSS:\s+(\d+)", self._read("status"))
        assert found
        return int(found[1]) / 1024

    def read_cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        ticks = self._read("stat").rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def count_threads(self) -> int:
        """Return the number of threads."""
        found = re.search(r"Threads:\s+(\d+)", self._read("status"))
        assert found
        return int(found[1])

    def count_descriptors(self) -> int:
        """Return the number of open descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - the quickest

    def scrape(self) -> str:
        """Return the metrics, over a new connection."""
        connection = HTTPConnection(*self.address, timeout=PATIENCE_SECONDS)
        try:
            return scrape(connection)
        finally:
            connection.close()

    def configure(self, databases: Mapping[str, Any], folder: Path) -> None:
        """Write another configuration and reload it."""
        write_config(self.config, databases, folder)
        self.process.send_signal(signal.SIGHUP)

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


@dataclass
class Clients:
    """Keep-alive connections, each with a scraping thread."""

    exporter: Exporter
    count: int
    milliseconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._connections = [
            HTTPConnection(*self.exporter.address, timeout=PATIENCE_SECONDS)
            for _ in range(self.count)
        ]
        self._numbers: Iterator[int] = iter(())
        self._lock = threading.Lock()

    def scrape(self, scrapes: int) -> None:
        """Scrape so many times in all; raises BrokenError if an answer is wrong."""
        self._numbers = iter(range(scrapes))
        threads = [
            threading.Thread(target=self._scrape, args=(connection,))
            for connection in self._connections
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.problems:
            raise BrokenError(self.problems[0])

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    def _take(self) -> bool:
        with self._lock:
            return next(self._numbers, None) is not None

    def _scrape(self, connection: HTTPConnection) -> None:
        while self._take() and not self.problems:
            began = time.perf_counter()
            try:
                text = scrape(connection)
            except Exception as error:
                self.problems.append(repr(error))
                return
            self.milliseconds.append((time.perf_counter() - began) * 1000)
            if not text.endswith("# EOF\n"):
                self.problems.append("a scrape without an end")


class Workers:
    """The application's processes, of which the oldest is replaced again and again."""

    def __init__(self, folder: Path) -> None:
        environment = {"SQLALCHEMY_POOL_METRICS_DIR": str(folder), "PYTHONPATH": str(AGENT)}
        self._environment = {**os.environ, **environment}
        self._running: list[subprocess.Popen[bytes]] = []
        self.killed = 0

    def start(self) -> None:
        """Start another process, and wait until it has used its pool."""
        process = subprocess.Popen(
            [sys.executable, CASE], env=self._environment, stdout=subprocess.PIPE
        )
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        self._running.append(process)

    def kill(self) -> None:
        """Kill the oldest, as the kernel does when memory is short."""
        process = self._running.pop(0)
        process.kill()
        process.communicate()
        self.killed += 1

    def replace(self) -> None:
        """Kill the oldest process and start another one."""
        self.kill()
        self.start()

    def kill_all(self) -> None:
        """Kill all processes."""
        while self._running:
            self.kill()


class Trouble:
    """Faults and changes during the run, step by step, in their own thread."""

    def __init__(self, steps: Sequence[Callable[[], None]], beat_seconds: float) -> None:
        self._steps = itertools.cycle(steps)
        self._least = len(steps)
        self._beat_seconds = beat_seconds
        self.made = 0

    @contextmanager
    def cause(self) -> Iterator[None]:
        """Take steps during the block, each at least once."""
        over, problems = threading.Event(), list[Exception]()
        thread = threading.Thread(target=self._run, args=(over, problems), name="trouble")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if problems:
            raise problems[0]

    def _run(self, over: threading.Event, problems: list[Exception]) -> None:
        least = self.made + self._least
        try:
            while not over.is_set() or self.made < least:
                next(self._steps)()
                self.made += 1
                time.sleep(self._beat_seconds)
        except Exception as error:
            problems.append(error)


@dataclass
class Stage:
    """All parts of the run."""

    exporter: Exporter
    server: EmbeddedPostgres
    workers: Workers
    flapping: Sequence[Forwarder]
    databases: Mapping[str, Any]
    folder: Path

    def list_steps(self) -> list[Callable[[], None]]:
        """Return the steps, which repeat in this order."""
        first, second = self.flapping
        more = {**self.databases, "seasonal": {"url": self.server.url(driver="asyncpg")}}
        return [
            first.refuse,
            self.workers.replace,
            lambda: self.exporter.configure(more, self.folder),
            second.fall_silent,
            first.open,
            self.workers.replace,
            second.open,
            lambda: self.exporter.configure(self.databases, self.folder),
            first.fall_silent,
            second.refuse,
            self.workers.replace,
            first.open,
            second.open,
        ]

    def calm_down(self) -> None:
        """End all faults; return when the exporter has recovered."""
        for forwarder in self.flapping:
            forwarder.open()
        self.exporter.configure(self.databases, self.folder)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_calm():
            if time.monotonic() > deadline:
                raise BrokenError("the exporter does not recover")
            time.sleep(0.1)

    def _is_calm(self) -> bool:
        states = re.findall(
            r'^sqlalchemy_database_up\{.*database="(\w+)".*\} (\d)', self.read(), re.M
        )
        return dict(states) == {name: "01"[name != "gone"] for name in self.databases}

    def read(self) -> str:
        """Scrape the exporter."""
        return self.exporter.scrape()

    def take_sample(self) -> Sample:
        """Return the lowest counts of two seconds, since probes open and close connections."""
        samples = []
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            for _ in range(20):
                samples.append(self._count(connection))
                time.sleep(0.1)
        return Sample(*map(min, zip(*samples, strict=True)))

    def _count(self, connection: psycopg.Connection[Any]) -> Sample:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
        assert row
        exporter = self.exporter
        return Sample(
            exporter.read_memory_mb(),
            exporter.count_descriptors(),
            exporter.count_threads(),
            row[0],
        )


def main(arguments: Sequence[str]) -> int:
    """Print the samples of start, middle and end; return 1 if something has grown."""
    options = parse(arguments)
    with ExitStack() as stack:
        stage = build_stage(stack)
        clients = Clients(stage.exporter, options.clients)
        stack.callback(clients.close)
        trouble = Trouble(stage.list_steps(), options.beat)
        began = time.monotonic()
        samples = []
        for scrapes in (options.scrapes // 10, options.scrapes // 2, options.scrapes // 2):
            with trouble.cause():
                clients.scrape(scrapes)
            stage.calm_down()
            samples.append(stage.take_sample())
        seconds = time.monotonic() - began
        print_load(clients, stage, trouble, seconds)
        modest = measure_modest(stage.server, options.scrapes // 50)
    return print_growth(samples, options.growth, modest)


def build_stage(stack: ExitStack) -> Stage:
    """Start everything; the stack ends it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
    folder.chmod(0o755)
    server = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
    flapping = [stack.enter_context(run_forwarder(server.port)) for _ in range(2)]
    pools = folder / "pools"
    pools.mkdir()
    workers = Workers(pools)
    stack.callback(workers.kill_all)
    for _ in range(WORKERS):
        workers.start()
    databases = build_databases(server, flapping)
    exporter = stack.enter_context(run_exporter(folder, databases, pools))
    return Stage(exporter, server, workers, flapping, databases, pools)


def build_databases(server: EmbeddedPostgres, flapping: Sequence[Forwarder]) -> dict[str, Any]:
    """Return two databases that are up, two that come and go, and one that is down."""
    first, second = (str(each.port) for each in flapping)
    port = str(server.port)
    asyncpg, psycopg_ = (server.url(driver=driver) for driver in ("asyncpg", "psycopg"))
    return {
        "steady": {"url": asyncpg},
        "threaded": {"url": psycopg_},
        "flapping": {"url": asyncpg.replace(port, first)},
        "flapping_too": {"url": psycopg_.replace(port, second)},
        "gone": {"url": asyncpg.replace(port, "1")},
    }


def write_config(file: Path, databases: Mapping[str, Any], pools: Path | None) -> None:
    """Write the exporter's configuration."""
    probe = {"interval": "500ms", "timeout": "400ms", "fresh_connection_interval": "2s"}
    content = {
        "databases": databases,
        "probe": probe,
        "app": {"dir": str(pools) if pools else None},
    }
    draft = file.with_suffix(".draft")
    draft.write_text(yaml.safe_dump(content))
    draft.rename(file)


@contextmanager
def run_exporter(
    folder: Path, databases: Mapping[str, Any], pools: Path | None
) -> Iterator[Exporter]:
    """Run an exporter; raises BrokenError if it does not serve or exits early."""
    config, log = folder / "exporter.yaml", folder / "log"
    write_config(config, databases, pools)
    command = [
        sys.executable,
        "-m",
        "sqlalchemy_pool_exporter",
        "--config",
        str(config),
        "--listen",
        "127.0.0.1:0",
    ]
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=ROOT, stderr=stderr) as process:
        try:
            yield Exporter(process, config, find_address(process, log))
            if process.poll() is not None:
                raise BrokenError(f"the exporter ended with {process.returncode}")
        finally:
            process.terminate()


def find_address(process: subprocess.Popen[bytes], log: Path) -> tuple[str, int]:
    """Return the address from the exporter's log, as soon as it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"127\.0\.0\.1:(\d+)", log.read_text()):
            return "127.0.0.1", int(found[1])
        time.sleep(0.05)
    raise BrokenError(f"the exporter does not serve: {log.read_text()}")


def scrape(connection: HTTPConnection) -> str:
    """Return the metrics, requested like Prometheus does; raises BrokenError on other answers."""
    connection.request("GET", "/metrics", headers=HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise BrokenError(f"status {answer.status}: {body[:200]!r}")
    return gzip.decompress(body).decode()


def measure_modest(server: EmbeddedPostgres, scrapes: int) -> float:
    """Return the memory in MB of an exporter with one PostgreSQL and nothing else."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        databases = {"only": {"url": server.url(driver="asyncpg")}}
        with run_exporter(Path(folder), databases, None) as exporter:
            clients = Clients(exporter, 1)
            clients.scrape(scrapes)
            clients.close()
            return exporter.read_memory_mb()


def print_load(clients: Clients, stage: Stage, trouble: Trouble, seconds: float) -> None:
    """Print what happened during the run."""
    milliseconds = clients.milliseconds
    cpu_ms = stage.exporter.read_cpu_seconds() * 1000 / len(milliseconds)
    rows = [
        ["scrapes", f"{len(milliseconds)}"],
        ["seconds", f"{seconds:.0f}"],
        ["ms of a scrape, the median", f"{median(milliseconds):.1f}"],
        ["ms of one in a hundred", f"{quantiles(milliseconds, n=100)[-1]:.1f}"],
        ["ms of CPU for each, probes included", f"{cpu_ms:.1f}"],
        ["faults, recoveries and reloads", f"{trouble.made}"],
        ["workers killed", f"{stage.workers.killed}"],
    ]
    print_table("What happened", ["what", "how much"], rows)


def print_growth(samples: Sequence[Sample], growth_mb: float, modest_mb: float) -> int:
    """Print the samples; return 1 if one has grown beyond its tolerance."""
    limits = {MEMORY: growth_mb, **TOLERATED}
    rows, grown = [], []
    for (name, limit), values in zip(limits.items(), zip(*samples, strict=True), strict=True):
        digits = 1 if name == MEMORY else 0
        rows.append([name, *(f"{value:.{digits}f}" for value in values), f"{limit:g}"])
        grown += [name] if values[-1] - values[0] > limit else []
    header = ["what", "start", "middle", "end", "may grow by"]
    print_table("An exporter of five databases and an application, without load", header, rows)
    print(f"\nWith one PostgreSQL and nothing else: {modest_mb:.1f} MB resident")
    for name in grown:
        print(f"grown: {name}", file=sys.stderr)
    return 1 if grown else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scrapes", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument(
        "--beat", type=float, default=1.0, help="seconds from one fault to the next"
    )
    parser.add_argument("--growth", type=float, default=4.0, help="megabytes that are tolerated")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
