"""One scan of a folder while processes die and are merged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter.shared_files import AppReading, FileState
from sqlalchemy_pool_exporter.shared_files import folder as folder_module
from sqlalchemy_pool_exporter.shared_files.folder import FolderScan, list_identities
from sqlalchemy_pool_exporter.shared_files.process_file import FileReading, read_file
from sqlalchemy_pool_metrics.dead_files import merge_dead_files
from tests.exporter.shared_files.shared_files import SharedFile


def share(folder: Path, failures: int, *, ended: bool = True) -> SharedFile:
    """A file that counts so many failed connections."""
    shared = SharedFile(folder)
    shared.set("connection_failures_refused", failures)
    if ended:
        shared.end()
    return shared


def count_failures(reading: AppReading) -> int:
    pools = [pool for process in reading.processes for pool in process.pools]
    return sum(pool.connection_failures for pool in pools)


@pytest.fixture
def after_read(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Calls to make after each file that is read, one per file."""
    events: list[Callable[[], object]] = []

    def read_and_go_on(path: str, identity: int, *more: Any) -> FileReading:
        reading = read_file(path, identity, *more)
        if events:
            events.pop(0)()
        return reading

    monkeypatch.setattr(folder_module, "read_file", read_and_go_on)
    return events


def test_a_merge_while_files_are_read_loses_and_doubles_nothing(
    tmp_path: Path, after_read: list[Callable[[], object]]
) -> None:
    share(tmp_path, 1)
    share(tmp_path, 10)
    share(tmp_path, 100, ended=False)
    after_read.append(lambda: merge_dead_files(tmp_path))
    reading = FolderScan(tmp_path).read()
    assert not after_read
    assert count_failures(reading) == 111
    assert reading.files == {FileState.LIVE: 1, FileState.DEAD: 0, FileState.UNREADABLE: 0}


def test_two_merges_while_files_are_read_lose_and_double_nothing(
    tmp_path: Path, after_read: list[Callable[[], object]]
) -> None:
    """The second one drops the ids of the first one, whose files are gone."""

    def merge_twice() -> None:
        merge_dead_files(tmp_path)
        share(tmp_path, 100)
        merge_dead_files(tmp_path)

    share(tmp_path, 1)
    share(tmp_path, 10)
    after_read.append(merge_twice)
    assert count_failures(FolderScan(tmp_path).read()) == 111
    assert not after_read
    assert list(tmp_path.glob("*.pool")) == []


def test_a_merge_before_the_files_are_listed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`retired` was read before, and the merged file is no longer listed."""

    def merge_and_list(folder: Path) -> dict[str, int | None]:
        merge_dead_files(folder)
        return list_identities(folder)

    share(tmp_path, 1)
    monkeypatch.setattr(folder_module, "list_identities", merge_and_list)
    assert count_failures(FolderScan(tmp_path).read()) == 1


def test_a_file_that_is_merged_after_it_was_read_and_not_deleted_yet_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_read: list[Callable[[], object]]
) -> None:
    shared = share(tmp_path, 1)
    share(tmp_path, 10)
    after_read.append(lambda: merge_dead_files(tmp_path))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    assert count_failures(FolderScan(tmp_path).read()) == 11
    assert shared.path.exists()
    assert not after_read


def test_a_process_that_dies_while_files_are_read_still_counts(
    tmp_path: Path, after_read: list[Callable[[], object]]
) -> None:
    living = [share(tmp_path, number, ended=False) for number in (1, 10)]
    after_read += [shared.end for shared in living]
    reading = FolderScan(tmp_path).read()
    assert count_failures(reading) == 11
    assert sum(reading.files.values()) == 2


def test_a_file_that_is_deleted_by_hand_is_left_out(
    tmp_path: Path, after_read: list[Callable[[], object]]
) -> None:
    files = sorted(share(tmp_path, 1).path for _ in range(3))
    after_read.append(files[2].unlink)
    assert count_failures(FolderScan(tmp_path).read()) == 2


def test_a_folder_that_keeps_changing_is_read_eventually(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(tmp_path, 1)
    monkeypatch.setattr(
        "sqlalchemy_pool_exporter.shared_files.process_file.MergedFile.is_current", lambda _: False
    )
    assert count_failures(FolderScan(tmp_path).read()) == 1


def test_merged_files_that_still_exist_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        merge_dead_files(tmp_path)
    assert len(list(tmp_path.glob("*.pool"))) == 1
    reading = FolderScan(tmp_path).read()
    assert count_failures(reading) == 1
    assert sum(reading.files.values()) == 0


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_POOLS"])
def test_the_same_files_are_beyond_the_limit_in_every_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(folder_module, limit, 2)
    for number in (1, 10, 100):
        share(tmp_path, number)
    readings = [FolderScan(tmp_path).read() for _ in range(3)]
    assert len({count_failures(reading) for reading in readings}) == 1
    assert readings[0].files == {FileState.LIVE: 0, FileState.DEAD: 2, FileState.UNREADABLE: 1}


def test_the_number_of_entries_that_are_listed_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "MAX_ENTRIES", 2)
    for _ in range(4):
        share(tmp_path, 1)
    assert count_failures(FolderScan(tmp_path).read()) == 2
