"""A process's file: when it is made, what is in it, and that nothing of it harms the process."""

from __future__ import annotations

import ctypes
import errno
import gc
import logging
import os
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import (
    MetricsQueuePool,
    Snapshot,
    block_store,
    instrument,
    process_file,
    read_pool,
    read_pools,
    sharing,
)
from sqlalchemy_pool_metrics.block_store import MAX_SHARED_POOLS
from sqlalchemy_pool_metrics.file_format import FileContents, read_contents
from sqlalchemy_pool_metrics.process_file import FILE_BYTES, ProcessFile
from sqlalchemy_pool_metrics.registry import PROCESS
from sqlalchemy_pool_metrics.sharing import FOLDER_VARIABLE
from tests.agent.children import Child, in_child, read_files, read_retired, read_total, use
from tests.agent.stub_driver import build_engine
from tests.servers.conditions import wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and locks as Linux has them"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("SQLALCHEMY_POOL_METRICS_APP", "a shop/../1")
    return tmp_path


def build(name: str = "orders") -> Any:
    return instrument(build_engine(QueuePool, pool_size=2, max_overflow=1), name=name)


def find(contents: FileContents, name: str = "orders") -> Snapshot:
    """The pool of that name: engines of other tests may still be about."""
    (found,) = [pool for pool in contents.pools if pool.pool.name == name]
    return found


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def fork_in_c() -> int:
    """Without Python's knowledge, as uWSGI forks."""
    pid: int = ctypes.PyDLL(None).fork()
    return pid


def test_a_file_is_made_at_the_first_event_and_not_before(folder: Path) -> None:
    def work() -> list[list[str]]:
        engine = build()
        before = names(folder)
        use(engine)
        return [before, names(folder)]

    with Child(work) as child:
        before, after = child.answer
        assert before == []
        assert after[0] == f"a_shop_.._1-{child.pid}-{read_files(folder)[True][0].id:012x}.pool"
        assert after[1:] == ["gc.lock"]
        status = (folder / after[0]).stat()
        assert stat.S_IMODE(status.st_mode) == 0o444
        assert (status.st_size, status.st_blocks * 512 >= FILE_BYTES) == (FILE_BYTES, True)


def test_a_file_says_what_the_process_says(folder: Path) -> None:
    def work() -> str:
        engine = build()
        use(engine, 3)
        engine.info = engine.raw_connection()
        return repr(read_pool(engine).pool), list(read_pool(engine).additive)  # type: ignore[return-value]

    with Child(work) as child:
        (contents,) = read_files(folder)[True]
        pool = find(contents)
        assert [repr(pool.pool), list(pool.additive)] == child.answer
        assert (pool.processes, pool.checkouts, pool.checked_out, pool.checked_in) == (1, 4, 1, 0)
        assert (contents.pid, contents.complete) == (child.pid, True)


def test_without_the_variable_there_is_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    with Child(lambda: use(build())):
        assert names(folder) == []


@pytest.mark.parametrize("fork", [os.fork, fork_in_c])
def test_a_forked_child_has_a_file_of_its_own(folder: Path, fork: Any) -> None:
    def parent() -> Any:
        engine = build()
        use(engine, 2)
        engine.info = engine.raw_connection()

        def child() -> list[int]:
            use(engine, 5)
            return [find(each).checkouts for each in read_files(folder)[True]]

        seen = in_child(child, fork)
        use(engine)
        return [sorted(seen), read_pool(engine).checkouts]

    with Child(parent) as child:
        assert child.answer == [[3, 5], 4]
        assert read_total(folder).checkouts == 9


@pytest.mark.parametrize("fork", [os.fork, fork_in_c])
@pytest.mark.parametrize("event", ["return", "dispose", "forget", "invalidate", "soft invalidate"])
def test_a_childs_first_event_is_never_counted_in_its_parents_file(fork: Any, event: str) -> None:
    def parent() -> Any:
        engine = build()
        use(engine)
        out = [engine.raw_connection()]
        before = list(read_pool(engine).additive)

        def child() -> None:
            if event == "return":
                out.pop().close()
            elif event == "dispose":
                engine.dispose(close=False)
            elif event.endswith("invalidate"):
                out[0].invalidate(soft=event.startswith("soft"))
            else:
                out[0]._connection_record._ConnectionRecord__pool = None
                del engine.pool
                gc.collect()

        in_child(child, fork)
        now = read_pool(engine)
        return [before == list(now.additive), now.checked_out, now.checked_in]

    assert in_child(parent) == [True, 1, 0]


@pytest.mark.parametrize("fork", [os.fork, fork_in_c])
def test_what_a_child_reads_first_are_not_its_parents_numbers(fork: Any) -> None:
    def parent() -> Any:
        engine = build()
        use(engine, 3)
        return in_child(lambda: [each.checkouts for each in read_pools()], fork)

    assert sum(in_child(parent)) == 0


def test_a_file_is_dead_when_its_process_is_although_a_child_lives(folder: Path) -> None:
    def parent() -> int:
        engine = build()
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


def test_the_dead_are_folded_by_the_next_process_and_counted_on(folder: Path) -> None:
    for checkouts in (1, 2, 3):
        in_child(lambda checkouts=checkouts: use(build(), checkouts))  # type: ignore[misc]
    in_child(lambda: use(build("other"), 7))

    assert len(read_files(folder)[False]) == 1
    retired = {pool.pool.name: pool for pool in read_retired(folder).pools}
    assert (retired["orders"].checkouts, retired["orders"].processes) == (6, 0)
    assert (retired["orders"].size, retired["orders"].checked_in) == (None, 0)
    assert read_total(folder).checkouts == 13


def test_what_a_killed_process_had_out_stays_counted(folder: Path) -> None:
    def work() -> list[int]:
        engine = build()
        engine.info = engine.raw_connection()
        return [read_pool(engine).checked_out_ns]

    with Child(work) as child:
        before = read_total(folder).checked_out_ns
        child.kill()
    dead = read_total(folder).checked_out_ns
    in_child(lambda: use(build()))

    merged_ids = read_total(folder).checked_out_ns
    assert before <= dead <= merged_ids
    assert child.answer[0] <= merged_ids


@pytest.mark.parametrize("obstacle", ["missing", "file", "not a folder of files"])
def test_an_impossible_folder_is_logged_once_and_the_pool_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "file").touch()
    place = "/proc" if obstacle.startswith("not") else str(folder / obstacle)
    monkeypatch.setenv(FOLDER_VARIABLE, place)

    def work() -> Any:
        with caplog.at_level(logging.WARNING):
            engines = [build(), build("other")]
            for engine in engines:
                use(engine, 2)
            told = [each.getMessage() for each in caplog.records]
        return [told, [read_pool(engine).checkouts for engine in engines]]

    told, checkouts = in_child(work)
    assert checkouts == [2, 2]
    (line,) = told
    assert "does not share" in line
    assert f"{FOLDER_VARIABLE}={place}" in line


def test_more_pools_than_rows_are_counted_in_private_and_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> Any:
        engines = [build(f"tenant{number:02}") for number in range(MAX_SHARED_POOLS + 3)]
        with caplog.at_level(logging.WARNING):
            for engine in engines:
                use(engine)
        told = [each.getMessage() for each in caplog.records]
        return [told, sum(read_pool(engine).checkouts for engine in engines)]

    with Child(work) as child:
        told, checkouts = child.answer
        assert checkouts == MAX_SHARED_POOLS + 3
        assert told == [
            f"more than {MAX_SHARED_POOLS} pools in this process: the others are not shared"
        ]
        assert len(read_files(folder)[True][0].pools) == MAX_SHARED_POOLS


def test_pool_names_that_churn_never_fill_the_file(folder: Path) -> None:
    def work() -> None:
        for number in range(3 * MAX_SHARED_POOLS):
            use(build(f"tenant{number}"))
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
        keep = build()
        use(keep)
        gc.collect()
        before = descriptors()
        for _ in range(1000):
            engine = build("many")
            use(engine)
            engine.dispose()
            del engine
        gc.collect()
        use(build("many"))
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
def test_names_that_churn_beside_as_many_pools_as_fit_stay_few(
    monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    monkeypatch.setattr(block_store, "MAX_DROPPED_POOLS", 10)
    if not is_shared:
        monkeypatch.delenv(FOLDER_VARIABLE)

    def work() -> list[int]:
        engines = [build(f"live{number}") for number in range(MAX_SHARED_POOLS)]
        for engine in engines:
            use(engine)
        for number in range(40):
            use(build(f"tenant{number}"))
            gc.collect()
        PROCESS.run_maintenance()
        counted = sum(each.checkouts for each in read_pools())
        return [len(PROCESS._store.kept), counted - MAX_SHARED_POOLS]

    kept, counted = in_child(work)
    assert kept <= 10
    assert counted == 40


def test_what_was_counted_under_a_name_stays_there_when_the_pool_is_renamed(folder: Path) -> None:
    def work() -> None:
        engine = build("orders")
        use(engine, 3)
        engine.info = engine.raw_connection()
        instrument(engine, name="primary")
        use(engine, 2)

    with Child(work):
        (contents,) = read_files(folder)[True]
        before, now = find(contents, "orders"), find(contents, "primary")
        assert (before.checkouts, before.processes, before.checked_out) == (4, 0, 0)
        assert (now.checkouts, now.processes, now.checked_out) == (2, 1, 1)


def test_processes_that_rename_one_after_the_other_lower_no_sum(folder: Path) -> None:
    def count() -> list[int]:
        pools = [pool for each in read_files(folder)[True] for pool in each.pools]
        return [
            sum(pool.checkouts for pool in pools if pool.pool.name == name)
            for name in ("orders", "primary")
        ]

    def work() -> list[list[int]]:
        engine = build("orders")
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
        engine = build("gone")
        use(engine, 2)
        del engine
        gc.collect()

    with Child(work):
        pools = {pool.pool.name: pool for pool in read_files(folder)[True][0].pools}
        assert (pools["gone"].processes, pools["gone"].size) == (0, None)
        assert pools["gone"].checkouts == 2


def test_a_folder_that_was_removed_and_made_again_gets_the_file_with_its_counters(
    folder: Path,
) -> None:
    def work() -> Any:
        engine = build()
        use(engine, 3)
        engine.info = engine.raw_connection()
        for path in folder.iterdir():
            path.unlink()
        look_after()
        use(engine, 2)
        return read_pool(engine).checkouts

    with Child(work) as child:
        assert child.answer == 6
        (contents,) = read_files(folder)[True]
        assert (find(contents).checkouts, find(contents).checked_out) == (6, 1)


def test_a_relative_folder_is_meant_from_where_the_process_began(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, folder.name)

    def work() -> None:
        os.chdir(folder.parent)
        engine = build()
        use(engine, 2)
        os.chdir("/")
        look_after()
        use(engine, 3)

    with Child(work):
        assert [find(each).checkouts for each in read_files(folder)[True]] == [5]


def test_a_folder_that_appears_later_gets_the_file_with_what_was_counted_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = folder / "later"
    monkeypatch.setenv(FOLDER_VARIABLE, str(later))
    monkeypatch.setattr(sharing, "RETRY_SECONDS", 0)

    def work() -> None:
        engine = build()
        use(engine, 3)
        later.mkdir()
        begin_window(engine)
        use(engine, 2)

    with Child(work):
        assert [find(each).checkouts for each in read_files(later)[True]] == [5]


def test_a_folder_that_is_missing_is_not_tried_again_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder / "missing"))
    tries = watch_tries(monkeypatch)

    def work() -> int:
        engine = build()
        for _ in range(5):
            use(engine)
            begin_window(engine)
        return len(tries)

    assert in_child(work) == 1


def test_on_a_full_volume_the_dead_make_room_for_the_living(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_child(lambda: use(build(), 3))
    tries = watch_tries(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))

    def work() -> list[int]:
        use(build())
        return tries

    with Child(work) as child:
        assert child.answer == [1, 0]
        assert len(read_files(folder)[True]) == 1
        assert read_total(folder).checkouts == 4


def test_files_that_are_removed_again_and_again_leak_no_lock_and_are_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = watch_tries(monkeypatch)

    def work() -> list[int]:
        PROCESS._sharing._files_left = 3
        engine = build()
        use(engine)
        before = count_descriptors()
        for _ in range(5):
            for path in folder.glob("*.pool"):
                path.unlink()
            begin_window(engine)
            use(engine)
        return [count_descriptors() - before, len(tries), read_pool(engine).checkouts]

    # On Pythons older than 3.13 each mapping has a descriptor of its own, and stays.
    mappings = 0 if sys.version_info >= (3, 13) else 3
    assert in_child(work) == [mappings - 1, 1 + 3, 6]  # nothing is locked any more


def test_a_process_that_closes_all_descriptors_is_alive_again_at_its_next_look(
    folder: Path,
) -> None:
    def work() -> int:
        engine = build()
        use(engine)
        close_descriptors()
        theirs = os.open("/dev/null", os.O_RDONLY)
        dead = len(read_files(folder)[False])
        look_after()
        use(engine)
        gc.collect()
        os.fstat(theirs)  # nobody closed it: its number was ours before
        return dead

    with Child(work) as child:
        assert child.answer == 1
        assert find(read_files(folder)[True][0]).checkouts == 1
        assert read_total(folder).checkouts == 2


def test_a_process_that_was_folded_alive_begins_again_at_zero(folder: Path) -> None:
    def work() -> None:
        engine = build()
        use(engine, 4)
        engine.info = engine.raw_connection()
        close_descriptors()
        in_child(lambda: use(build("folder")))
        look_after()
        use(engine, 2)

    with Child(work):
        total = read_total(folder)
        assert total.checkouts == 5 + 2 + 1
        assert total.checked_out == 1


def close_descriptors() -> None:
    """As a daemonizer does, but for the pipes of the test."""
    gc.collect()  # what other tests left behind closes its files by itself
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if ".pool" in str(link.readlink()):
                os.close(int(link.name))


def count_descriptors() -> int:
    links = []
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # the one that lists them
            links.append(str(link.readlink()))
    return sum(".pool" in link for link in links)


def watch_tries(monkeypatch: pytest.MonkeyPatch, first_fault: OSError | None = None) -> list[int]:
    """How many files there were at each try to make one; the first may fail."""
    create = ProcessFile.create
    tries: list[int] = []

    def watch(folder: Path, *arguments: Any) -> ProcessFile:
        tries.append(len(list(folder.glob("*.pool"))))
        if first_fault is not None and len(tries) == 1:
            raise first_fault
        return create(folder, *arguments)

    monkeypatch.setattr(ProcessFile, "create", watch)
    return tries


def begin_window(engine: Any) -> None:
    """What happens at the first event after some seconds."""
    engine.pool._recorder.block.buffer.begin_window()


def look_after() -> None:
    """What happens once in a window of some seconds."""
    file = PROCESS._sharing._file
    assert file is not None
    file.request_check()


def test_a_process_reads_its_own_pools_from_its_file() -> None:
    def work() -> list[int]:
        engine = build()
        use(engine)
        return [each.checkouts for each in read_pools() if each.pool.name == "orders"]

    assert in_child(work) == [1]


def test_a_pool_made_by_its_class_tries_again_to_share(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_metrics.sharing.RETRY_SECONDS", 0)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder / "later"))

    def work() -> int:
        engine = build_engine(MetricsQueuePool)
        use(engine)
        (folder / "later").mkdir()
        begin_window(engine)
        use(engine, 2)
        return read_pool(engine).checkouts

    with Child(work) as child:
        assert child.answer == 3
        assert read_total(folder / "later").checkouts == 3


def test_what_runs_is_read_up_to_a_moment_before_now(folder: Path) -> None:
    def work() -> None:
        engine = build()
        engine.info = engine.raw_connection()

    with Child(work):
        (path,) = folder.glob("*.pool")
        later_ns = time.monotonic_ns() + 10**9
        pool = find(read_contents(path.read_bytes(), later_ns))
    assert pool.oldest_checkout_ns - pool.running_checked_out_ns == 20_000_000
