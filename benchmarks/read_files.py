"""The cost of reading the files of many processes: ours, and prometheus_client's.

    python -m benchmarks.read_files [--processes 128] [--rounds N]

On both sides processes fork, live while they are read, and are killed, see `read_files_case`. Each
process has two pools with about 200 numbers, as many as the peer's samples, or one pool.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from benchmarks.read_files_case import NUMBERS
from benchmarks.tables import print_table
from sqlalchemy_pool_exporter.shared_files import AppReading, FileState, SharedFolder
from sqlalchemy_pool_metrics.families import APP_FAMILIES, FAMILIES
from sqlalchemy_pool_metrics.prometheus import app_labels, build_metric
from sqlalchemy_pool_metrics.snapshot import Snapshot, merge

POOLS = 2
CASE = ("-m", "benchmarks.read_files_case")

Read = Callable[[], object]


def main(arguments: Sequence[str]) -> int:
    """Print a table of milliseconds for files of live and of killed processes."""
    options = parse(arguments)
    count, rounds = options.processes, options.rounds
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        one, ours, peers = (Path(name, each) for each in ("one", "ours", "peers"))
        with (
            populate("ours", one, count, pools=1),
            populate("ours", ours, count, POOLS),
            populate("prometheus", peers, count, POOLS),
        ):
            check(ours, peers, count, FileState.LIVE)
            live = measure(build_readers(one, ours, peers), rounds)
        check(ours, peers, count, FileState.DEAD)
        dead = measure(build_readers(one, ours, peers), rounds)
    rows = [[reader, f"{live[reader]:.2f}", f"{dead[reader]:.2f}"] for reader in live]
    title = f"Reading the files of {count} processes; {POOLS * NUMBERS} numbers are two pools"
    print_table(title, ["reader", "live ms", "killed ms"], rows)
    return 0


def build_readers(one: Path, ours: Path, peers: Path) -> dict[str, Read]:
    """Return the readers. The peer sums and builds families, so one of ours does, too."""
    single, folder, peer = SharedFolder(one), SharedFolder(ours), read_peers(peers)
    return {
        f"prometheus_client, {POOLS * NUMBERS} samples, to families": lambda: list(peer.collect()),
        "ours, one pool, to snapshots": single.read,
        "ours, one pool, to families": lambda: collect(single),
        "ours, two pools, to snapshots": folder.read,
        "ours, two pools, to families": lambda: collect(folder),
    }


def read_peers(folder: Path) -> Collector:
    """Return prometheus_client's reader of its files."""
    return MultiProcessCollector(CollectorRegistry(), path=str(folder))  # type: ignore[no-untyped-call]


def collect(folder: SharedFolder) -> list[Metric]:
    """Return the families of an application's pools, summed over its processes."""
    rows = [(app_labels(pools[0]), merge(pools)) for pools in group(folder.read()).values()]
    return [build_metric(family, rows) for family in (*FAMILIES, *APP_FAMILIES)]


def group(reading: AppReading) -> dict[str, list[Snapshot]]:
    """Return the snapshots of all processes by pool."""
    found: defaultdict[str, list[Snapshot]] = defaultdict(list)
    for process in reading.processes:
        for pool in process.pools:
            found[pool.pool.name].append(pool)
    return found


def measure(readers: dict[str, Read], rounds: int) -> dict[str, float]:
    """Return the median CPU time of each reader in milliseconds; they take turns in each round."""
    for read in readers.values():
        read()
    spent_ns: dict[str, list[int]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            began_ns = time.process_time_ns()
            read()
            spent_ns[name].append(time.process_time_ns() - began_ns)
    return {name: median(spent) / 1e6 for name, spent in spent_ns.items()}


def check(ours: Path, peers: Path, count: int, state: FileState) -> None:
    """Check that both sides have all numbers of every process."""
    reading = SharedFolder(ours).read()
    assert reading.files[state] == count, reading.files
    snapshots = [pool for process in reading.processes for pool in process.pools]
    assert sum(pool.checkouts for pool in snapshots) == POOLS * count
    (family,) = [each for each in read_peers(peers).collect() if each.name == "bench_checkouts"]
    assert sum(sample.value for sample in family.samples) == POOLS * count


@contextmanager
def populate(side: str, folder: Path, count: int, pools: int) -> Iterator[None]:
    """Run processes for the time of the block, and kill them."""
    folder.mkdir()
    command: list[str | Path] = [sys.executable, *CASE, side, folder, str(count), str(pools)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n", f"{command} failed"
        yield
        process.stdin.close()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=40)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
