"""Pools that come and go lose no counter and stay bounded in number."""

from __future__ import annotations

import gc
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.pool import NullPool, QueuePool

from sqlalchemy_pool_metrics import (
    block_store,
    instrument,
    process_file,
    read_pool,
    read_pools,
)
from sqlalchemy_pool_metrics.registry import PROCESS
from sqlalchemy_pool_metrics.sharing import FOLDER_VARIABLE
from sqlalchemy_pool_metrics.snapshot import merge
from tests.agent.children import (
    Child,
    Work,
    build_shared_engine,
    find_pool,
    in_child,
    read_files,
    use,
)
from tests.agent.stub_driver import build_engine

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and locks as Linux has them"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("folder", "few_blocks"),
]

PLACES = 14


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave room for few pools, so that a test need not build hundreds."""
    monkeypatch.setattr(process_file, "BLOCKS", PLACES + 1)


def test_pools_beyond_the_blocks_of_the_file_are_counted_privately_and_each_is_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> Any:
        engines = [build_shared_engine(f"tenant{number:02}") for number in range(PLACES + 3)]
        with caplog.at_level(logging.WARNING):
            for engine in engines:
                use(engine)
        logged = [each.getMessage() for each in caplog.records]
        return [logged, sum(read_pool(engine).checkouts for engine in engines)]

    with Child(work) as child:
        logged, checkouts = child.answer
        assert checkouts == PLACES + 3
        assert all(line.startswith("not shared, as this process has more than") for line in logged)
        names = [f"'tenant{PLACES + more}'" for more in range(3)]
        assert [[name in line for name in names] for line in logged] == [
            [True, False, False],
            [False, True, False],
            [False, False, True],
        ]
        assert len(read_files(folder)[True][0].pools) == PLACES


def test_pool_names_that_come_and_go_never_fill_the_file(folder: Path) -> None:
    def work() -> None:
        for number in range(3 * PLACES):
            use(build_shared_engine(f"tenant{number}"))
            gc.collect()

    with Child(work):
        pools = {pool.pool.name: pool for pool in read_files(folder)[True][0].pools}
        assert len(pools) == PLACES
        assert pools["dropped"].processes == 0
        assert sum(pool.checkouts for pool in pools.values()) == 3 * PLACES


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
            len(PROCESS._placement.store.kept),
            len(process_file._mappings),
        ]

    with Child(work) as child:
        assert child.answer == [True, 1, 1]
        pools = {pool.pool.name: pool for pool in read_files(folder)[True][0].pools}
        many = pools["many"]
        assert (many.processes, many.checkouts, many.connections_opened) == (0, 1001, 1001)
        assert many.counter("connections_closed_dispose") == 1001
        assert many.counter("engines_created") == 1001


@pytest.mark.parametrize("is_shared", [True, False])
def test_names_that_come_and_go_are_bounded_even_when_the_file_is_full(
    monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    monkeypatch.setattr(block_store, "MAX_DROPPED_POOLS", 10)
    if not is_shared:
        monkeypatch.delenv(FOLDER_VARIABLE)

    def work() -> list[int]:
        engines = [build_shared_engine(f"live{number}") for number in range(PLACES)]
        for engine in engines:
            use(engine)
        for number in range(40):
            use(build_shared_engine(f"tenant{number}"))
            gc.collect()
        PROCESS.run_maintenance()
        counted = sum(each.checkouts for each in read_pools())
        return [len(PROCESS._placement.store.kept), counted - PLACES]

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
        assert [pool.counter("engines_created") for pool in (before, now)] == [1, 0]


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


def collects_no_garbage(work: Work) -> Work:
    """Run some work as in a large program, in which full collections are rare."""

    def run() -> Any:
        gc.collect()
        gc.disable()
        return work()

    return run


def test_an_engine_for_each_operation_needs_one_place_and_none_of_its_counts_is_late(
    folder: Path,
) -> None:
    def work() -> None:
        for _ in range(3 * PLACES):
            use(instrument(build_engine(NullPool), name="each"))

    with Child(collects_no_garbage(work)):
        (contents,) = read_files(folder)[True]
        assert find_pool(contents, "each").checkouts == 3 * PLACES


@pytest.mark.parametrize("names", ["short", "short{}"])
@pytest.mark.parametrize("disposes", [True, False])
def test_a_pool_with_connections_takes_the_place_of_engines_without(
    folder: Path, names: str, disposes: bool
) -> None:
    def work() -> None:
        for number in range(2 * PLACES):
            pool_class: Any = QueuePool if disposes else NullPool
            engine = instrument(build_engine(pool_class), name=names.format(number))
            use(engine)
            if disposes:
                engine.dispose()
        use(build_shared_engine("stays"), 7)

    with Child(collects_no_garbage(work)):
        (contents,) = read_files(folder)[True]
        assert find_pool(contents, "stays").checkouts == 7
        others = [pool for pool in contents.pools if pool.pool.name != "stays"]
        if disposes or names == "short":  # else they may be used again, and are too many
            assert sum(pool.checkouts for pool in others) == 2 * PLACES


def test_a_place_that_becomes_free_goes_to_the_busiest_pool_without_one(folder: Path) -> None:
    def work() -> None:
        first = [build_shared_engine(f"first{number}") for number in range(PLACES)]
        late = [build_shared_engine(name) for name in ("idle", "busy", "less busy")]
        for engine in first:
            use(engine)
        for engine, times in zip(late, (1, 50, 10), strict=True):
            use(engine, times)
        del first[:2], engine
        gc.collect()
        PROCESS.run_maintenance()
        late[0].others = [first, late]

    with Child(work):
        (contents,) = read_files(folder)[True]
        assert find_pool(contents, "busy").checkouts == 50
        assert not [pool for pool in contents.pools if pool.pool.name == "idle"]


def test_counts_of_an_engine_without_a_place_are_in_that_of_an_equal_one(folder: Path) -> None:
    def work() -> None:
        keep = [build_shared_engine(f"pool{number}") for number in range(PLACES)]
        for engine in keep:
            use(engine)
        more = build_shared_engine("pool0")
        use(more, 5)
        del more
        gc.collect()
        keep[0].others = keep

    with Child(work):
        (contents,) = read_files(folder)[True]
        assert find_pool(contents, "pool0").checkouts == 6


def test_a_child_places_the_pools_that_its_parent_used_most(folder: Path) -> None:
    def parent() -> list[str]:
        engines = [build_shared_engine(f"pool{number:02}") for number in range(40)]
        for number, engine in enumerate(engines):
            use(engine, number + 1)

        def child() -> list[str]:
            for engine in reversed(engines):
                use(engine)
            (mine,) = (each for each in read_files(folder)[True] if each.pid == os.getpid())
            return sorted(pool.pool.name for pool in mine.pools)

        return in_child(child)  # type: ignore[no-any-return]

    used_most = [f"pool{number:02}" for number in range(40 - PLACES, 40)]
    assert in_child(parent) == used_most


def test_an_engine_that_was_never_used_has_no_limits(folder: Path) -> None:
    def work() -> None:
        engines = [build_shared_engine("one") for _ in range(5)]
        use(engines[0])
        disposed = build_shared_engine("one")
        use(disposed)
        disposed.dispose()
        engines[0].others = [*engines, disposed]

    with Child(work):
        pools = [each for each in read_files(folder)[True][0].pools if each.pool.name == "one"]
        assert merge(pools).max_connections == 3
        assert merge(pools).checkouts == 2


def test_an_engine_without_a_size_takes_none_from_the_others(folder: Path) -> None:
    def work() -> Any:
        migrations = instrument(build_engine(NullPool), name="orders")
        engine = build_shared_engine("orders")
        use(engine)
        engine.info = migrations.raw_connection()

    with Child(work):
        both = merge([each for each in read_files(folder)[True][0].pools if each.processes])
        assert (both.size, both.max_connections, both.checked_out) == (2, 3, 1)
