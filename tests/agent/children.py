"""Forked children that do some work and report its result, and the contents of a shared folder."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import Snapshot, instrument
from sqlalchemy_pool_metrics.file_format import FileContents, read_contents
from sqlalchemy_pool_metrics.file_reader import (
    RETIRED,
    is_alive,
    list_files,
    open_file,
    read_stable,
)
from sqlalchemy_pool_metrics.snapshot import keep_counters, merge
from tests.agent.stub_driver import build_engine

Work = Callable[[], Any]


class Child:
    """A forked child that has done its work and waits until the block ends or it is killed."""

    def __init__(self, work: Work, fork: Callable[[], int] = os.fork) -> None:
        gc.collect()  # engines of earlier tests would take places in the child's file
        answer, say = os.pipe()
        listen, self._go = os.pipe()
        self.pid = fork()
        if not self.pid:
            try:
                os.close(self._go)
                os.write(say, json.dumps(work()).encode() + b"\n")
                os.read(listen, 1)
            finally:
                os._exit(0)
        os.close(say)
        os.close(listen)
        with os.fdopen(answer) as lines:
            self.answer = json.loads(lines.readline())

    def kill(self) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        self.pid = 0

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._go)
        if self.pid:
            os.waitpid(self.pid, 0)


def in_child(work: Work, fork: Callable[[], int] = os.fork) -> Any:
    """Return what `work` returns in a forked child, which has ended then."""
    with Child(work, fork) as child:
        return child.answer


def use(engine: Engine, times: int = 1) -> None:
    """Check a connection out and return it."""
    for _ in range(times):
        engine.raw_connection().close()


def fork_in_c() -> int:
    """Fork without Python's knowledge, as uWSGI does."""
    pid: int = ctypes.PyDLL(None).fork()
    return pid


def build_shared_engine(name: str = "orders") -> Any:
    """Return an instrumented engine with a pool of 2 + 1 connections."""
    return instrument(build_engine(QueuePool, pool_size=2, max_overflow=1), name=name)


def find_pool(contents: FileContents, name: str = "orders") -> Snapshot:
    """Return the pool of that name; engines of other tests may still exist."""
    (found,) = [pool for pool in contents.pools if pool.pool.name == name]
    return found


def list_names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def read_files(folder: Path) -> dict[bool, list[FileContents]]:
    """Return the process files by whether their process is alive."""
    found: dict[bool, list[FileContents]] = {True: [], False: []}
    for path in list_files(folder):
        descriptor = open_file(path)
        try:
            alive = is_alive(descriptor)
            contents = read_contents(read_stable(descriptor), time.monotonic_ns())
            found[alive].append(contents)
        finally:
            os.close(descriptor)
    return found


def read_retired(folder: Path) -> FileContents:
    descriptor = open_file(str(folder / RETIRED))
    try:
        return read_contents(read_stable(descriptor), time.monotonic_ns())
    finally:
        os.close(descriptor)


def read_total(folder: Path) -> Snapshot:
    """Return the sum over live and dead processes, as a reader computes it when nothing changes."""
    files = read_files(folder)
    pools = [pool for each in files[True] for pool in each.pools]
    retired = read_retired(folder) if (folder / RETIRED).exists() else None
    merged_ids = retired.merged_ids if retired else frozenset()
    dead = [pool for each in files[False] if each.id not in merged_ids for pool in each.pools]
    pools += map(keep_counters, dead)
    return merge([*pools, *(retired.pools if retired else ())])
