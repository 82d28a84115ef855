"""Pools that come and go lose no counter and stay bounded in number."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_metrics import (
    block_store,
    instrument,
    process_file,
    read_pool,
    read_pools,
)
from sqlalchemy_pool_metrics.block_store import MAX_SHARED_POOLS
from sqlalchemy_pool_metrics.registry import PROCESS
from sqlalchemy_pool_metrics.sharing import FOLDER_VARIABLE
from tests.agent.children import (
    Child,
    build_shared_engine,
    find_pool,
    in_child,
    read_files,
    use,
)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and locks as Linux has them"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("folder"),
]


def test_pools_beyond_the_blocks_of_the_file_are_counted_privately_and_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> Any:
        engines = [
            build_shared_engine(f"tenant{number:02}") for number in range(MAX_SHARED_POOLS + 3)
        ]
        with caplog.at_level(logging.WARNING):
            for engine in engines:
                use(engine)
        logged = [each.getMessage() for each in caplog.records]
        return [logged, sum(read_pool(engine).checkouts for engine in engines)]

    with Child(work) as child:
        logged, checkouts = child.answer
        assert checkouts == MAX_SHARED_POOLS + 3
        assert logged == [
            f"more than {MAX_SHARED_POOLS} pools in this process: the others are not shared"
        ]
        assert len(read_files(folder)[True][0].pools) == MAX_SHARED_POOLS


def test_pool_names_that_come_and_go_never_fill_the_file(folder: Path) -> None:
    def work() -> None:
        for number in range(3 * MAX_SHARED_POOLS):
            use(build_shared_engine(f"tenant{number}"))
            gc.collect()

    with Child(work):
        pools = {pool.pool.name: pool for pool in read_files(folder)[True][0].pools}
        assert len(pools) == MAX_SHARED_POOLS
        assert pools["dropped"].processes == 0
        assert sum(pool.checkouts for pool in pools.values()) == 3 * MAX_SHARED_POOLS


def test_a_thousand_engines_leave_nothing_behind(folder: Path) -> None:
    def descriptors() -> list[str]:
        return sorted(each.name for each in Path("/proc/self/fd").iterdir())

    def work() -> Any:
        keep = build_shared_engine()
        use(keep)
        gc.collect()
        before = descriptors()
        for _ in range(1000):
            engine = build_shared_engine("many")
            use(engine)
            engine.dispose()
            del engine
        gc.collect()
        use(build_shared_engine("many"))
        gc.collect()
        PROCESS.run_maintenance()
        return [
            set(descriptors()) <= set(before),
            len(PROCESS._store.kept),
            len(process_file._mappings),
        ]

    with Child(work) as child:
        assert child.answer == [True, 1, 1]
        pools = {pool.pool.name: pool for pool in read_files(folder)[True][0].pools}
        many = pools["many"]
        assert (many.processes, many.checkouts, many.connections_opened) == (0, 1001, 1001)
        assert many.counter("connections_closed_dispose") == 1001


@pytest.mark.parametrize("is_shared", [True, False])
def test_names_that_come_and_go_are_bounded_even_when_the_file_is_full(
    monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    monkeypatch.setattr(block_store, "MAX_DROPPED_POOLS", 10)
    if not is_shared:
        monkeypatch.delenv(FOLDER_VARIABLE)

    def work() -> list[int]:
        engines = [build_shared_engine(f"live{number}") for number in range(MAX_SHARED_POOLS)]
        for engine in engines:
            use(engine)
        for number in range(40):
            use(build_shared_engine(f"tenant{number}"))
            gc.collect()
        PROCESS.run_maintenance()
        counted = sum(each.checkouts for each in read_pools())
        return [len(PROCESS._store.kept), counted - MAX_SHARED_POOLS]

    kept, counted = in_child(work)
    assert kept <= 10
    assert counted == 40


def test_counts_stay_under_the_old_name_when_a_pool_is_renamed(folder: Path) -> None:
    def work() -> None:
        engine = build_shared_engine("orders")
        use(engine, 3)
        engine.info = engine.raw_connection()
        instrument(engine, name="primary")
        use(engine, 2)

    with Child(work):
        (contents,) = read_files(folder)[True]
        before, now = find_pool(contents, "orders"), find_pool(contents, "primary")
        assert (before.checkouts, before.processes, before.checked_out) == (4, 0, 0)
        assert (now.checkouts, now.processes, now.checked_out) == (2, 1, 1)


def test_no_sum_falls_while_processes_rename_their_pools_one_by_one(folder: Path) -> None:
    def count() -> list[int]:
        pools = [pool for each in read_files(folder)[True] for pool in each.pools]
        return [
            sum(pool.checkouts for pool in pools if pool.pool.name == name)
            for name in ("orders", "primary")
        ]

    def work() -> list[list[int]]:
        engine = build_shared_engine("orders")
        use(engine, 3)
        seen = [count()]
        instrument(engine, name="primary")
        seen.append(count())
        use(engine, 2)
        return [*seen, count()]

    with Child(work) as first, Child(work) as second:
        for sums in zip(*first.answer, *second.answer, strict=True):
            assert list(sums) == sorted(sums)
        assert count() == [6, 4]


def test_a_pool_that_is_gone_leaves_only_its_counters(folder: Path) -> None:
    def work() -> None:
        engine = build_shared_engine("gone")
        use(engine, 2)
        del engine
        gc.collect()

    with Child(work):
        pools = {pool.pool.name: pool for pool in read_files(folder)[True][0].pools}
        assert (pools["gone"].processes, pools["gone"].size) == (0, None)
        assert pools["gone"].checkouts == 2
