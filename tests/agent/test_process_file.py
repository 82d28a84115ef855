"""The shared file of a process: its creation, its contents and the end of its process."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_metrics import (
    read_pool,
    read_pools,
)
from sqlalchemy_pool_metrics.file_format import (
    BLOCK_BYTES,
    HEADER_BYTES,
    MARKS_BYTES,
    read_contents,
)
from sqlalchemy_pool_metrics.layout import SLOT
from sqlalchemy_pool_metrics.process_file import RESTING_BLOCKS, MappedSlotBuffer, ProcessFile
from sqlalchemy_pool_metrics.snapshot import PoolDescription
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
        assert status.st_blocks * 512 == HEADER_BYTES + RESTING_BLOCKS * BLOCK_BYTES


def test_256_pools_have_a_block_and_those_beyond_are_counted(folder: Path) -> None:
    def work() -> None:
        engines = [build_shared_engine(f"tenant{number}") for number in range(258)]
        for engine in engines:
            use(engine)
        engines[0].others = engines

    with Child(work):
        (contents,) = read_files(folder)[True]
    assert {pool.pool.name for pool in contents.pools} == {f"tenant{each}" for each in range(256)}
    assert sum(pool.checkouts for pool in contents.pools) == 256
    assert contents.left_out == 2


def test_readers_of_before_the_marks_find_the_first_64_blocks(folder: Path) -> None:
    def work() -> None:
        engines = [build_shared_engine(f"tenant{number}") for number in range(70)]
        for engine in engines:
            use(engine)
        engines[0].others = engines[:2] + engines[3:]

    with Child(work):
        (path,) = folder.glob("*.pool")
        data = path.read_bytes()
    unmarked = data[: HEADER_BYTES - MARKS_BYTES] + bytes(MARKS_BYTES) + data[HEADER_BYTES:]
    pools = read_contents(unmarked, time.monotonic_ns()).pools
    assert [pool.pool.name for pool in pools] == [f"tenant{number}" for number in range(64)]


def test_a_process_killed_while_blocks_are_merged_loses_and_doubles_nothing(folder: Path) -> None:
    def work() -> list[list[int]]:
        file = ProcessFile.create(folder, "shop", {}, lambda: None)
        blocks = [take(file, 1) for _ in range(200)]
        for block in blocks:
            file.publish(block)
        total, seen = take(file, 3), set()

        def look(*_: object) -> Any:
            pools = read_contents(file.path.read_bytes(), time.monotonic_ns()).pools
            seen.add((len(pools), sum(pool.counter("leaked_connections") for pool in pools)))
            return look

        sys.settrace(look)
        file.publish(total, replaces=(blocks[0], blocks[100], blocks[199]))
        sys.settrace(None)
        return sorted(seen)  # type: ignore[arg-type]

    assert in_child(work) == [[198, 200], [200, 200]]


def take(file: ProcessFile, leaked: int) -> MappedSlotBuffer:
    buffer = file.take()
    assert buffer is not None
    buffer.slots[SLOT["leaked_connections"]] = leaked
    buffer.describe(PoolDescription())
    return buffer


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
