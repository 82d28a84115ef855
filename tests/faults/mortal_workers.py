"""Forks workers that use a pool, and kills each at a random moment; a program of its own.

    python -m tests.faults.mortal_workers FOLDER LEDGER WORKERS SEED

The ledger is a mapped file of 64-bit numbers. Each worker counts in it what it is about to do
(`begun`) and what it has done (`ended`); the exporter's counters lie between the two.
"""

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import dead_files, instrument
from tests.agent.stub_driver import build_engine

AT_ONCE = 6
LONGEST_SECONDS = 0.06


def main(folder: str, ledger: str, workers: int, seed: int) -> None:
    """Run until all workers are dead."""
    os.environ["SQLALCHEMY_POOL_METRICS_DIR"] = folder
    chance = random.Random(seed)  # noqa: S311 - to be repeatable
    engine = instrument(build_engine(QueuePool, pool_size=5), name="mortal")
    numbers = open_ledger(ledger)
    alive: dict[int, float] = {}
    for worker in range(workers):
        while len(alive) >= AT_ONCE:
            bury(alive)
        alive[fork_worker(engine, numbers, worker, chance)] = time.monotonic() + chance.uniform(
            0, LONGEST_SECONDS
        )
    while alive:
        bury(alive)


def bury(alive: dict[int, float]) -> None:
    """Kill the workers whose time has come; some have killed themselves."""
    for pid, until in list(alive.items()):
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            del alive[pid]
    time.sleep(0.001)


def fork_worker(engine: Any, numbers: memoryview, worker: int, chance: random.Random) -> int:
    """Start a worker; every third dies in the middle of a merge, at one of its steps."""
    dies_at = chance.choice(["before", "after", "within"]) if worker % 3 == 0 else ""
    pid = os.fork()
    if not pid:
        try:
            if dies_at:
                die_while_merging(dies_at)
            work(engine, numbers, 2 * worker, patience=chance.random() < 0.5)
        finally:
            os._exit(1)
    return pid


def die_while_merging(step: str) -> None:
    """Kill this process before `retired` is replaced, after it, or between two removals."""
    replace, unlink = dead_files._replace_retired, Path.unlink
    removed: list[Path] = []

    def deadly_replace(*arguments: Any) -> bool:
        if step == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replaced = replace(*arguments)
        if step == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return replaced

    def deadly_unlink(path: Path, *, missing_ok: bool = False) -> None:
        if step == "within" and removed:
            os.kill(os.getpid(), signal.SIGKILL)
        removed.append(path)
        unlink(path, missing_ok=missing_ok)

    dead_files._replace_retired = deadly_replace  # type: ignore[assignment]
    Path.unlink = deadly_unlink  # type: ignore[method-assign, assignment]


def work(engine: Any, numbers: memoryview, begun: int, *, patience: bool) -> None:
    """Check out several connections and return them, until the process is killed."""
    out: list[Any] = []
    while True:
        numbers[begun] += 1
        out.append(engine.raw_connection())
        numbers[begun + 1] += 1
        if len(out) > 3:
            out.pop(0).close()
        if patience:
            time.sleep(0.0005)


def open_ledger(path: str) -> memoryview:
    """Return the numbers of all workers, in shared memory."""
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
