"""The shared file of a process: its creation, its contents and the end of its process."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics import (
    read_pool,
    read_pools,
)
from sqlalchemy_pool_metrics.file_format import read_contents
from sqlalchemy_pool_metrics.process_file import FILE_BYTES
from tests.agent.children import (
    Child,
    build_shared_engine,
    find_pool,
    in_child,
    list_names,
    read_files,
    use,
)
from tests.servers.conditions import wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and locks as Linux has them"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("folder"),
]


def test_the_file_is_created_at_the_first_event_and_not_before(folder: Path) -> None:
    def work() -> list[list[str]]:
        engine = build_shared_engine()
        before = list_names(folder)
        use(engine)
        return [before, list_names(folder)]

    with Child(work) as child:
        before, after = child.answer
        assert before == []
        assert after[0] == f"a_shop_.._1-{child.pid}-{read_files(folder)[True][0].id:012x}.pool"
        assert after[1:] == ["gc.lock"]
        status = (folder / after[0]).stat()
        assert stat.S_IMODE(status.st_mode) == 0o444
        assert (status.st_size, status.st_blocks * 512 >= FILE_BYTES) == (FILE_BYTES, True)


def test_the_file_says_the_same_as_the_process(folder: Path) -> None:
    def work() -> str:
        engine = build_shared_engine()
        use(engine, 3)
        engine.info = engine.raw_connection()
        return repr(read_pool(engine).pool), list(read_pool(engine).additive)  # type: ignore[return-value]

    with Child(work) as child:
        (contents,) = read_files(folder)[True]
        pool = find_pool(contents)
        assert [repr(pool.pool), list(pool.additive)] == child.answer
        assert (pool.processes, pool.checkouts, pool.checked_out, pool.checked_in) == (1, 4, 1, 0)
        assert (contents.pid, contents.complete) == (child.pid, True)


def test_a_process_reads_its_own_pools_from_its_file() -> None:
    def work() -> list[int]:
        engine = build_shared_engine()
        use(engine)
        return [each.checkouts for each in read_pools() if each.pool.name == "orders"]

    assert in_child(work) == [1]


def test_the_file_of_a_dead_process_is_dead_even_if_a_child_lives(folder: Path) -> None:
    def parent() -> int:
        engine = build_shared_engine()
        use(engine)
        read, _write = os.pipe()
        child = os.fork()
        if not child:
            os.read(read, 1)  # for ever: nobody writes
        return child

    with Child(parent) as process:
        assert len(read_files(folder)[True]) == 1
        process.kill()
        try:
            wait_until(lambda: len(read_files(folder)[False]) == 1, "the lock to be gone")
        finally:
            os.kill(process.answer, 9)


def test_a_reader_counts_running_time_only_up_to_a_moment_before_now(folder: Path) -> None:
    def work() -> None:
        engine = build_shared_engine()
        engine.info = engine.raw_connection()

    with Child(work):
        (path,) = folder.glob("*.pool")
        later_ns = time.monotonic_ns() + 10**9
        pool = find_pool(read_contents(path.read_bytes(), later_ns))
    assert pool.oldest_checkout_ns - pool.running_checked_out_ns == 20_000_000
