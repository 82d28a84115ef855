"""Merging the files of dead processes: what is merged, what stays, and that nothing blocks."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.shared_files import SharedFolder
from sqlalchemy_pool_metrics import (
    PoolDescription,
    Snapshot,
    dead_files,
    holder,
    read_pool,
)
from sqlalchemy_pool_metrics.dead_files import LOCK, MARGINS_NS, merge_dead_files
from sqlalchemy_pool_metrics.file_format import Header, build_file, build_header, read_contents
from sqlalchemy_pool_metrics.file_reader import MAX_FILE_BYTES, RETIRED, list_files
from sqlalchemy_pool_metrics.layout import ADDITIVE_SLOTS, TABLE, Region, SlotTable
from sqlalchemy_pool_metrics.snapshot import HolderNumbers
from tests.agent.children import (
    Child,
    build_shared_engine,
    in_child,
    read_files,
    read_retired,
    read_total,
    use,
)
from tests.exporter.shared_files.shared_files import SharedFile

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and locks as Linux has them"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

LONG_AGO = (1, 1)


def make_dead(folder: Path, checkouts: int = 1) -> Path:
    """Create the file of a dead process."""
    file = SharedFile(folder)
    file.set("checkout", checkouts)
    file.end()
    return file.path


def count_retired(folder: Path) -> int:
    return sum(pool.checkouts for pool in read_retired(folder).pools)


def count_files(folder: Path) -> dict[str, int]:
    """Return how many files the exporter finds in each state."""
    return {
        str(state): count for state, count in SharedFolder(folder).read().files.items() if count
    }


def test_a_pipe_in_place_of_the_lock_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    refused: list[OSError] = []

    def merge() -> None:
        try:
            merge_dead_files(tmp_path)
        except OSError as error:
            refused.append(error)

    thread = threading.Thread(target=merge, daemon=True)
    thread.start()
    thread.join(10)
    was_blocked = thread.is_alive()
    with suppress(OSError):
        os.close(os.open(tmp_path / LOCK, os.O_WRONLY | os.O_NONBLOCK))
    thread.join()

    assert not was_blocked
    assert len(refused) == 1


def test_the_lock_file_is_readable_by_all_under_a_strict_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        merge_dead_files(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / LOCK).stat().st_mode) == 0o644


def test_one_of_two_simultaneous_merges_does_nothing(tmp_path: Path) -> None:
    path = make_dead(tmp_path)
    lock = os.open(tmp_path / LOCK, os.O_RDONLY | os.O_CREAT, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)
    merge_dead_files(tmp_path)
    was_left = path.exists()
    os.close(lock)
    merge_dead_files(tmp_path)

    assert was_left
    assert not path.exists()


def test_a_child_forked_during_a_merge_does_not_keep_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    children: list[int] = []

    def fork(_: Path) -> None:
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        children.append(child)

    monkeypatch.setattr(dead_files, "_remove_abandoned", fork)
    merge_dead_files(tmp_path)
    lock = os.open(tmp_path / LOCK, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError when it is taken
    finally:
        for descriptor in (lock, read, write):
            os.close(descriptor)
        os.waitpid(children[0], 0)


@pytest.mark.parametrize(
    ("name", "is_removed"),
    [
        (".report.tmp", False),
        (".shop-report.tmp", False),
        (".shop-17-0123456789ab.tmp", True),
        (".retired-17-0123456789ab.tmp", True),
    ],
)
def test_only_our_own_old_temporary_files_are_removed(
    tmp_path: Path, name: str, is_removed: bool
) -> None:
    (tmp_path / name).touch()
    os.utime(tmp_path / name, LONG_AGO)
    merge_dead_files(tmp_path)
    assert (tmp_path / name).exists() is not is_removed


def test_a_file_that_is_being_created_stays(tmp_path: Path) -> None:
    making = tmp_path / ".shop-17-0123456789ab.tmp"
    making.touch()
    merge_dead_files(tmp_path)
    assert making.exists()


def test_a_file_with_impossible_numbers_stays_and_the_others_are_merged(
    tmp_path: Path,
) -> None:
    damaged = make_dead(tmp_path, checkouts=1 << 63)
    make_dead(tmp_path, checkouts=3)
    merge_dead_files(tmp_path)

    assert list_files(tmp_path) == [str(damaged)]
    assert count_retired(tmp_path) == 3
    assert count_files(tmp_path) == {"unreadable": 1}


def test_a_copy_of_a_live_file_does_not_hide_it(tmp_path: Path) -> None:
    live = SharedFile(tmp_path)
    live.set("checkout", 5)
    shutil.copy(live.path, tmp_path / "backup.pool")
    merge_dead_files(tmp_path)

    pools = [pool for each in SharedFolder(tmp_path).read().processes for pool in each.pools]
    live.end()
    assert [(pool.checkouts, pool.processes) for pool in pools] == [(5, 1)]


def test_the_highest_generation_does_not_prevent_a_merge(tmp_path: Path) -> None:
    (tmp_path / RETIRED).write_bytes(build_file(Header(generation=(1 << 64) - 1), [], []))
    make_dead(tmp_path, checkouts=3)
    merge_dead_files(tmp_path)

    assert count_retired(tmp_path) == 3
    assert list_files(tmp_path) == []


def test_a_file_that_cannot_be_deleted_is_counted_once_and_blocks_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        make_dead(tmp_path)
    unlink = Path.unlink
    refused: list[Path] = []

    def refuse_one(path: Path, missing_ok: bool = False) -> None:
        # Except for the temporary file, which a late merge deletes itself.
        if not path.name.startswith(".") and (not refused or path in refused):
            refused.append(path)
            raise PermissionError(f"{path} is another user's")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse_one)
    for _ in range(2):
        merge_dead_files(tmp_path)

    assert list_files(tmp_path) == [str(refused[0])]
    assert count_retired(tmp_path) == 3
    assert count_files(tmp_path) == {}


def test_a_merged_file_that_could_not_be_deleted_is_never_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_dead(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        merge_dead_files(tmp_path)
    with path.open("rb") as file:  # somebody locks it, so that it looks alive for a while
        fcntl.flock(file, fcntl.LOCK_EX)
        make_dead(tmp_path)
        merge_dead_files(tmp_path)
    merge_dead_files(tmp_path)

    assert count_retired(tmp_path) == 2
    assert list_files(tmp_path) == []


def refuse(path: Path, missing_ok: bool = False) -> None:
    raise PermissionError(f"{path} is another user's, {missing_ok=}")


def test_a_file_of_a_later_major_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop-17-0000000000aa.pool"
    path.write_bytes(build_header(TABLE, {}, Header(major=2, id=0xAA)))
    make_dead(tmp_path)
    merge_dead_files(tmp_path)
    assert list_files(tmp_path) == [str(path)]


@pytest.mark.parametrize("kind", ["counter", "a kind of later"])
def test_a_file_with_a_counter_of_a_later_version_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "shop-17-0000000000aa.pool"
    table = SlotTable([Region("later", kind, 0)])
    path.write_bytes(build_header(table, {}, Header(id=0xAA)))
    make_dead(tmp_path)
    merge_dead_files(tmp_path)
    assert list_files(tmp_path) == [str(path)]


def test_what_a_later_version_merged_is_left_alone_and_so_is_what_would_be_added(
    tmp_path: Path,
) -> None:
    retired = build_file(Header(major=2, generation=7), [], [])
    (tmp_path / RETIRED).write_bytes(retired)
    path = make_dead(tmp_path)
    merge_dead_files(tmp_path)

    assert (tmp_path / RETIRED).read_bytes() == retired
    assert path.exists()


def test_a_merge_that_takes_longer_than_its_margin_is_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_dead(tmp_path)
    monkeypatch.setattr(dead_files, "MARGINS_NS", (0, 0))
    merge_dead_files(tmp_path)

    assert sorted(each.name for each in tmp_path.iterdir()) == [LOCK, path.name]


def test_a_merge_that_took_too_long_is_repeated_with_a_longer_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dead(tmp_path, checkouts=3)
    monkeypatch.setattr(dead_files, "MARGINS_NS", (0, 3600 * 10**9))
    merge_dead_files(tmp_path)

    assert list_files(tmp_path) == []
    assert count_retired(tmp_path) == 3


def test_no_reader_before_the_merge_saw_more_than_the_merged_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_ns = 10**10
    last_ns = began_ns + MARGINS_NS[0] - 1
    file = SharedFile(tmp_path)
    file.set("held_used", 1)
    file.set("held", began_ns - 10**9)
    file.end()
    monkeypatch.setattr(time, "monotonic_ns", lambda: last_ns)
    before = SharedFolder(tmp_path).read().processes[-1].pools[0].checked_out_ns
    times = iter([began_ns])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(times, last_ns))
    merge_dead_files(tmp_path)

    assert list_files(tmp_path) == []
    assert before > 0
    assert read_retired(tmp_path).pools[0].checked_out_ns >= before


def test_the_next_process_merges_dead_files_and_keeps_their_counters(
    folder: Path,
) -> None:
    for checkouts in (1, 2, 3):
        in_child(lambda checkouts=checkouts: use(build_shared_engine(), checkouts))  # type: ignore[misc]
    in_child(lambda: use(build_shared_engine("other"), 7))

    assert len(read_files(folder)[False]) == 1
    retired = {pool.pool.name: pool for pool in read_retired(folder).pools}
    assert (retired["orders"].checkouts, retired["orders"].processes) == (6, 0)
    assert (retired["orders"].size, retired["orders"].checked_in) == (None, 0)
    assert read_total(folder).checkouts == 13


def test_the_time_of_connections_that_a_killed_process_had_out_stays_counted(folder: Path) -> None:
    def work() -> list[int]:
        engine = build_shared_engine()
        engine.info = engine.raw_connection()
        return [read_pool(engine).checked_out_ns]

    with Child(work) as child:
        before = read_total(folder).checked_out_ns
        child.kill()
    dead = read_total(folder).checked_out_ns
    in_child(lambda: use(build_shared_engine()))

    merged = read_total(folder).checked_out_ns
    assert before <= dead <= merged
    assert child.answer[0] <= merged


def test_the_holders_of_killed_processes_keep_their_counters(folder: Path) -> None:
    def work() -> list[int]:
        engine = build_shared_engine()
        with holder("report"):
            use(engine, 2)
            engine.info = engine.raw_connection()
        with holder("import"):
            use(engine)
        return [each.held_ns for each in read_pool(engine).holders]

    for _ in range(2):
        with Child(work) as child:
            alive = {each.name: each for each in read_total(folder).holders}
            child.kill()
        dead = {each.name: each for each in read_total(folder).holders}
        for name in alive:
            assert dead[name].held_ns >= alive[name].held_ns
        assert (alive["report"].connections, dead["report"].connections) == (1, 0)
    in_child(lambda: use(build_shared_engine()))

    (retired,) = read_retired(folder).pools
    holds = {each.name: each.holds for each in retired.holders}
    assert holds == {"report": 6, "import": 2}
    merged = {each.name: each for each in read_total(folder).holders}
    for name in dead:
        assert merged[name].held_ns >= dead[name].held_ns
    assert retired.checked_out_ns == sum(each.held_ns for each in retired.holders)


def test_of_very_many_pools_and_holders_the_rest_is_merged_as_other() -> None:
    holders = [
        HolderNumbers(f"holder {number:02}", 0, 1, 1 << 20, 1 << 19, 2) for number in range(200)
    ]
    pools = [
        Snapshot(
            PoolDescription(name=f"p{number}"), 0, (1,) * ADDITIVE_SLOTS, holders=tuple(holders)
        )
        for number in range(1000)
    ]
    data = build_file(Header(), pools, [])
    read = read_contents(data, 0).pools

    assert len(data) <= MAX_FILE_BYTES
    for pool in read:
        names = [each.name for each in pool.holders]
        assert names == [each.name for each in holders[: len(names) - 1]] + ["other"]
        assert sum(each.holds for each in pool.holders) == 200
        assert sum(each.held_ns for each in pool.holders) == 200 << 20
    assert read_contents(build_file(Header(), pools[:5], []), 0).pools[4].holders == tuple(holders)
