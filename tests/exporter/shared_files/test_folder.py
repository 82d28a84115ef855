"""A folder that the processes of an application share, as a scrape reads it."""

import logging
import os
import socket
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.shared_files import AppReading, FileState, SharedFolder
from sqlalchemy_pool_exporter.shared_files.folder import EMPTY_SECONDS, MAX_SHOWN
from sqlalchemy_pool_metrics import Snapshot
from tests.exporter.app_workers import run_worker
from tests.exporter.shared_files.shared_files import SharedFile

LOGGER = "sqlalchemy_pool_exporter.shared_files"
UNREADABLE = {FileState.LIVE: 0, FileState.DEAD: 0, FileState.UNREADABLE: 1}


def read(folder: Path) -> AppReading:
    return SharedFolder(folder).read()


def count_files(folder: Path) -> tuple[int, ...]:
    """How many files are live, dead and unreadable."""
    return tuple(read(folder).files[state] for state in FileState)


def read_pools(folder: Path) -> list[Snapshot]:
    return [pool for process in read(folder).processes for pool in process.pools]


def count_checkouts(folder: Path) -> int:
    return sum(pool.checkouts for pool in read_pools(folder))


def read_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def test_pools_of_a_live_process_are_read(tmp_path: Path) -> None:
    with run_worker(tmp_path, pool="orders") as worker:
        worker.do("checkout", "checkout", "return")
        (pool,) = read_pools(tmp_path)
        assert count_files(tmp_path) == (1, 0, 0)
    assert (pool.pool.name, pool.pool.application, pool.size) == ("orders", "shop", 3)
    assert (pool.processes, pool.checked_out, pool.checked_in) == (1, 1, 1)
    assert (pool.checkouts, pool.connections_opened) == (2, 2)


def test_a_process_is_named_by_its_pid_and_the_id_of_its_file(tmp_path: Path) -> None:
    with run_worker(tmp_path) as worker:
        worker.do("checkout")
        (file,) = tmp_path.glob("*.pool")
        names = [process.process for process in read(tmp_path).processes]
    assert names == ["", f"{worker.pid}-{file.stem[-12:]}"]


def test_connections_beyond_the_threshold_are_overdue_and_name_their_process(
    tmp_path: Path,
) -> None:
    folder = SharedFolder(tmp_path)
    with run_worker(tmp_path) as worker:
        worker.do("checkout")
        counts = []
        for threshold in (300.0, 1e-6):
            folder.leak_threshold = threshold
            (pool,) = folder.read().processes[1].pools
            counts.append(len(pool.overdue))
    assert counts == [0, 1]
    assert pool.overdue[0].process == worker.pid


def test_a_killed_process_has_its_counters_and_no_gauge(tmp_path: Path) -> None:
    with run_worker(tmp_path) as worker:
        worker.do("checkout", "checkout", "return")
        worker.kill()
        assert count_files(tmp_path) == (0, 1, 0)
        (pool,) = read_pools(tmp_path)
    assert (pool.processes, pool.checked_out, pool.checked_in, pool.size) == (0, 0, 0, None)
    assert (pool.checkouts, pool.connections_opened) == (2, 2)
    assert pool.checked_out_ns > 0


@pytest.mark.parametrize("was_seen_alive", [True, False])
def test_what_a_killed_process_had_out_ends_when_it_is_found_dead(
    tmp_path: Path, was_seen_alive: bool
) -> None:
    folder = SharedFolder(tmp_path)

    def read_total() -> int:
        (pool,) = [pool for process in folder.read().processes for pool in process.pools]
        return pool.checked_out_ns

    with run_worker(tmp_path) as worker:
        worker.do("checkout")
        alive = read_total() if was_seen_alive else 0
        worker.kill()
        totals = [read_total() for _ in range(3)]
    assert len(set(totals)) == 1
    assert totals[0] >= alive
    assert not was_seen_alive or totals[0] == alive


def test_ends_of_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    folder = SharedFolder(tmp_path)
    for _ in range(3):
        with run_worker(tmp_path) as worker:
            worker.do("checkout")
            folder.read()
    assert len(folder._last_alive) == 1


def test_the_next_process_merges_the_dead_and_nothing_is_lost(tmp_path: Path) -> None:
    for number in range(1, 4):
        with run_worker(tmp_path) as worker:
            worker.do("checkout")
            assert count_checkouts(tmp_path) == number
            assert count_files(tmp_path) == (1, 0, 0)
    assert (tmp_path / "retired").exists()
    assert count_checkouts(tmp_path) == 3


def test_reading_writes_nothing(tmp_path: Path) -> None:
    with run_worker(tmp_path) as worker:
        worker.do("checkout")
        worker.kill()
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.iterdir()]}
    folder = SharedFolder(tmp_path)
    for _ in range(2):
        folder.read()
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.iterdir()]} == before


def test_odd_entries_count_as_unreadable_and_neither_block_nor_fail(tmp_path: Path) -> None:
    shared = SharedFile(tmp_path)
    os.mkfifo(tmp_path / f"shop-1-{1:012x}.pool")
    (tmp_path / f"shop-2-{2:012x}.pool").symlink_to(shared.path)
    (tmp_path / f"shop-3-{3:012x}.pool").mkdir()
    (tmp_path / f"shop-4-{4:012x}.pool").touch()
    (tmp_path / f"shop-5-{5:012x}.pool").write_bytes(os.urandom(70_000))
    (tmp_path / f"copy-6-{6:012x}.pool").write_bytes(shared.path.read_bytes())
    (tmp_path / "anything.pool").write_bytes(shared.path.read_bytes())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/shop-7-{7:012x}.pool")
        assert count_files(tmp_path) == (1, 0, 8)
    assert len(read_pools(tmp_path)) == 1


def test_other_files_are_not_counted(tmp_path: Path) -> None:
    shared = SharedFile(tmp_path)
    for name in ("gc.lock", f".shop-1-{1:012x}.tmp", f".shop-1-{1:012x}.pool", "notes.txt"):
        (tmp_path / name).write_bytes(shared.path.read_bytes())
    assert count_files(tmp_path) == (1, 0, 0)


@pytest.mark.parametrize("kind", ["random", "empty", "link", "pipe", "folder"])
def test_an_unreadable_retired_is_counted_and_hides_no_process(tmp_path: Path, kind: str) -> None:
    shared = SharedFile(tmp_path)
    retired = tmp_path / "retired"
    match kind:
        case "random":
            retired.write_bytes(os.urandom(9000))
        case "empty":
            retired.touch()
        case "link":
            retired.symlink_to(shared.path)
        case "pipe":
            os.mkfifo(retired)
        case "folder":
            retired.mkdir()
    assert count_files(tmp_path) == (1, 0, 1)
    assert len(read_pools(tmp_path)) == 1


def test_a_missing_folder_is_unreadable_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    path, problem = tmp_path / "pools", "No such file or directory"
    folder = SharedFolder(path)
    for _ in range(2):
        assert folder.read() == AppReading((), UNREADABLE, problem)
    path.mkdir()
    for _ in range(2):
        assert not folder.read().problem
    path.rmdir()
    folder.read()
    lost, found = (
        "the application's folder cannot be read",
        "the application's folder can be read again",
    )
    assert read_messages(caplog) == [lost, found, lost]
    assert vars(caplog.records[0])["problem"] == problem


def test_a_file_in_place_of_the_folder_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "pools").touch()
    assert count_files(tmp_path / "pools") == (0, 0, 1)


def test_unreadable_files_are_logged_once_and_so_is_their_recovery(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    damaged = tmp_path / f"sh\nop-1-{1:012x}.pool"
    folder = SharedFolder(tmp_path)
    folder.read()
    for exists in (True, True, False, False, True):
        damaged.touch() if exists else damaged.unlink(missing_ok=True)
        folder.read()
    lost, found = (
        "files in the application's folder cannot be read",
        "all files in the application's folder can be read again",
    )
    assert read_messages(caplog) == [lost, found, lost]
    assert all(vars(record)["dir"] == str(tmp_path) for record in caplog.records)


def test_the_log_line_about_unreadable_files_is_short_and_printable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"sh\nop\udcff\u202e{'x' * 200}-{1:012x}.pool").touch()
    SharedFolder(tmp_path).read()
    (record,) = map(vars, caplog.records)
    assert record["files"] == 1
    assert record["first"].startswith(r"sh\nop\udcff\u202exxx")
    assert len(record["first"]) == MAX_SHOWN
    assert record["problem"] == "0 bytes, a header has 8192"


def test_a_folder_without_an_expected_process_is_logged_once_and_so_is_the_first_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    now = 1000.0
    folder = SharedFolder(tmp_path, read_clock=lambda: now)
    folder.read()
    now += EMPTY_SECONDS - 1
    folder.read()
    assert read_messages(caplog) == []
    now += 1
    for _ in range(2):
        assert folder.read().is_empty
    missing = "no process of the application has recorded a pool"
    assert read_messages(caplog) == [missing]
    assert vars(caplog.records[0])["dir"] == str(tmp_path)
    with run_worker(tmp_path, pool="orders") as worker:
        worker.do("checkout", "return")
        for _ in range(2):
            assert not folder.read().is_empty
    assert read_messages(caplog) == [missing, "a process of the application records its pools"]


def test_a_folder_of_ended_processes_is_not_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with run_worker(tmp_path, pool="orders") as worker:
        worker.do("checkout", "return")
    now = 0.0
    folder = SharedFolder(tmp_path, read_clock=lambda: now)
    now += EMPTY_SECONDS
    assert not folder.read().is_empty
    assert read_messages(caplog) == []


def test_without_a_folder_there_are_no_files_to_count() -> None:
    assert SharedFolder(None).read() == AppReading((), {})


def test_the_folders_repr_has_its_path(tmp_path: Path) -> None:
    assert repr(SharedFolder(tmp_path)) == f"<SharedFolder {tmp_path}>"
