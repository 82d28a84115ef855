"""One side of read_files.py: a process that forks others, which count and stay.

    python -m benchmarks.read_files_case ours|prometheus FOLDER PROCESSES POOLS

It prints ready when all have counted, and kills them when its standard input is closed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy_pool_metrics.layout import COUNTERS, GAUGES, HISTOGRAMS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# A bucket per bound and +Inf, and the sum; then a number per counter and per gauge.
NUMBERS = sum(len(bounds) + 2 for bounds in HISTOGRAMS.values()) + len(COUNTERS) + len(GAUGES)
"""How many a pool has: of ours in its block, of the peer's as samples."""


def prepare_ours(pools: Sequence[str]) -> Callable[[], None]:
    """Import what each process needs, and return its work: a checkout of each pool."""
    from sqlalchemy.pool import QueuePool

    from benchmarks.checkout_case import build_engine
    from sqlalchemy_pool_metrics import instrument

    def count() -> None:
        for pool in pools:
            engine = instrument(build_engine(QueuePool), name=pool)
            engine.pool.connect().close()
            _kept.append(engine)

    return count


def prepare_prometheus(pools: Sequence[str]) -> Callable[[], None]:
    """Return the work of a process with the same numbers in prometheus_client's metrics."""
    from prometheus_client import CollectorRegistry

    return lambda: count_prometheus(CollectorRegistry(), pools)


def count_prometheus(registry: CollectorRegistry, pools: Sequence[str]) -> None:
    """Fill the registry, which writes files because of an environment variable."""
    from prometheus_client import Counter, Gauge, Histogram

    counters = [Counter(f"bench_{name}", name, ["pool"], registry=registry) for name in COUNTERS]
    gauges = [
        Gauge(f"bench_{name}", name, ["pool"], multiprocess_mode="livesum", registry=registry)
        for name in GAUGES
    ]
    histograms = [
        Histogram(f"bench_{name}_seconds", name, ["pool"], buckets=bounds, registry=registry)
        for name, bounds in HISTOGRAMS.items()
    ]
    checkouts = Counter("bench_checkouts", "Checkouts.", ["pool"], registry=registry)
    for pool in pools:
        checkouts.labels(pool).inc()
        for counter in counters:
            counter.labels(pool).inc()
        for gauge in gauges:
            gauge.labels(pool).inc()
        for histogram in histograms:
            histogram.labels(pool).observe(0.001)
    _kept.append(registry)


_kept: list[object] = []
SIDES: dict[str, tuple[str, Callable[[Sequence[str]], Callable[[], None]]]] = {
    "ours": ("SQLALCHEMY_POOL_METRICS_DIR", prepare_ours),
    "prometheus": ("PROMETHEUS_MULTIPROC_DIR", prepare_prometheus),
}


def main(side: str, folder: str, processes: str, pools: str) -> None:
    """Fork, wait until standard input is closed, and kill."""
    variable, prepare = SIDES[side]
    os.environ[variable] = folder
    count = prepare([f"pool-{number}" for number in range(int(pools))])
    ready, counted = os.pipe()
    children = [fork(count, counted) for _ in range(int(processes))]
    os.close(counted)
    for _ in children:
        assert os.read(ready, 1), "a process failed"
    print("ready", flush=True)
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def fork(count: Callable[[], None], counted: int) -> int:
    """Fork a process that counts, reports and stays; return its id."""
    child = os.fork()
    return child or count_and_stay(count, counted)


def count_and_stay(count: Callable[[], None], counted: int) -> NoReturn:
    """Count and stay until killed; exit if counting fails."""
    try:
        count()
        os.write(counted, b".")
        os.close(counted)
        while True:
            signal.pause()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
