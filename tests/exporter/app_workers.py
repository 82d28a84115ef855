"""Processes of an application that share their pools, and do what a test tells them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

APPLICATION = "shop"
PROGRAM = """
import json, sys
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy_pool_metrics import instrument

url, name = sys.argv[1:]
keys = {"poolclass": QueuePool, "pool_size": 3, "max_overflow": 2, "pool_timeout": 0.01}
engines = [instrument(create_engine(url, **keys), name=name)]
held = []
print("ready", flush=True)
for line in sys.stdin:
    verb, _, argument = line.strip().partition(" ")
    if verb == "checkout":
        held.append(engines[-1].raw_connection())
    elif verb == "fail":
        try:
            engines[-1].raw_connection()
        except Exception:
            pass
        else:
            sys.exit("the checkout did not fail")
    elif verb == "return":
        held.pop().close()
    elif verb == "leak":
        held.pop()
    elif verb == "engine":
        engines.append(instrument(create_engine(url, **keys), name=argument))
    print("done", flush=True)
"""


class Worker:
    """A process with one pool of 3 connections and 2 more; it ends with the block, by SIGKILL."""

    def __init__(self, folder: Path, url: str, pool: str, application: str) -> None:
        environment = {
            **os.environ,
            "SQLALCHEMY_POOL_METRICS_DIR": str(folder),
            "SQLALCHEMY_POOL_METRICS_APP": application,
            "SQLALCHEMY_POOL_METRICS_HOLDERS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, pool],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    @property
    def pid(self) -> int:
        return self.process.pid

    def do(self, *orders: str) -> None:
        """Make it do these, one after the other: checkout, fail, return, leak, engine NAME."""
        assert self.process.stdin
        for order in orders:
            self.process.stdin.write(f"{order}\n")
            self.process.stdin.flush()
            assert self._read() == "done"

    def kill(self) -> None:
        """End it as the kernel does when memory is short; returns when it is gone."""
        self.process.kill()
        self.process.wait()

    def _read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        with self.process:
            pass


@contextmanager
def run_worker(
    folder: Path, *, pool: str = "main", url: str = "sqlite://", application: str = APPLICATION
) -> Iterator[Worker]:
    """Yields a process that shares its pool in the folder."""
    with Worker(folder, url, pool, application) as worker:
        yield worker
