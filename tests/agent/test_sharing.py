"""Sharing: folders that are missing or unusable, and files that are removed or lose their lock."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_metrics import (
    MetricsQueuePool,
    read_pool,
    sharing,
)
from sqlalchemy_pool_metrics.process_file import ProcessFile
from sqlalchemy_pool_metrics.registry import PROCESS
from sqlalchemy_pool_metrics.sharing import FOLDER_VARIABLE
from tests.agent.children import (
    Child,
    build_shared_engine,
    find_pool,
    in_child,
    list_names,
    read_files,
    read_total,
    use,
)
from tests.agent.stub_driver import build_engine

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork, and locks as Linux has them"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("folder"),
]


def test_without_the_variable_there_is_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    with Child(lambda: use(build_shared_engine())):
        assert list_names(folder) == []


@pytest.mark.parametrize("obstacle", ["missing", "file", "not a folder of files"])
def test_an_unusable_folder_is_logged_once_and_the_pool_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "file").touch()
    place = "/proc" if obstacle.startswith("not") else str(folder / obstacle)
    monkeypatch.setenv(FOLDER_VARIABLE, place)

    def work() -> Any:
        with caplog.at_level(logging.WARNING):
            engines = [build_shared_engine(), build_shared_engine("other")]
            for engine in engines:
                use(engine, 2)
            logged = [each.getMessage() for each in caplog.records]
        return [logged, [read_pool(engine).checkouts for engine in engines]]

    logged, checkouts = in_child(work)
    assert checkouts == [2, 2]
    (line,) = logged
    assert "does not share" in line
    assert f"{FOLDER_VARIABLE}={place}" in line


def test_a_folder_that_was_emptied_gets_a_new_file_with_all_counters(
    folder: Path,
) -> None:
    def work() -> Any:
        engine = build_shared_engine()
        use(engine, 3)
        engine.info = engine.raw_connection()
        for path in folder.iterdir():
            path.unlink()
        request_check()
        use(engine, 2)
        return read_pool(engine).checkouts

    with Child(work) as child:
        assert child.answer == 6
        (contents,) = read_files(folder)[True]
        assert (find_pool(contents).checkouts, find_pool(contents).checked_out) == (6, 1)


def test_a_relative_folder_is_resolved_where_sharing_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, folder.name)

    def work() -> None:
        os.chdir(folder.parent)
        engine = build_shared_engine()
        use(engine, 2)
        os.chdir("/")
        request_check()
        use(engine, 3)

    with Child(work):
        assert [find_pool(each).checkouts for each in read_files(folder)[True]] == [5]


def test_a_folder_that_appears_later_gets_a_file_with_all_counters(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = folder / "later"
    monkeypatch.setenv(FOLDER_VARIABLE, str(later))
    monkeypatch.setattr(sharing, "RETRY_SECONDS", 0)

    def work() -> None:
        engine = build_shared_engine()
        use(engine, 3)
        later.mkdir()
        begin_window(engine)
        use(engine, 2)

    with Child(work):
        assert [find_pool(each).checkouts for each in read_files(later)[True]] == [5]


def test_a_missing_folder_is_not_tried_again_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder / "missing"))
    attempts = watch_attempts(monkeypatch)

    def work() -> int:
        engine = build_shared_engine()
        for _ in range(5):
            use(engine)
            begin_window(engine)
        return len(attempts)

    assert in_child(work) == 1


def test_on_a_full_volume_the_files_of_dead_processes_are_merged_to_make_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_child(lambda: use(build_shared_engine(), 3))
    attempts = watch_attempts(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))

    def work() -> list[int]:
        use(build_shared_engine())
        return attempts

    with Child(work) as child:
        assert child.answer == [1, 0]
        assert len(read_files(folder)[True]) == 1
        assert read_total(folder).checkouts == 4


def test_a_file_that_is_removed_again_and_again_leaks_no_lock_and_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = watch_attempts(monkeypatch)

    def work() -> list[int]:
        PROCESS._sharing._files_left = 3
        engine = build_shared_engine()
        use(engine)
        before = count_descriptors()
        for _ in range(5):
            for path in folder.glob("*.pool"):
                path.unlink()
            begin_window(engine)
            use(engine)
        return [count_descriptors() - before, len(attempts), read_pool(engine).checkouts]

    # On Pythons older than 3.13 each mapping has a descriptor of its own, and stays.
    mappings = 0 if sys.version_info >= (3, 13) else 3
    assert in_child(work) == [mappings - 1, 1 + 3, 6]  # nothing is locked any more


def test_a_process_that_closed_all_descriptors_is_alive_again_after_the_next_check(
    folder: Path,
) -> None:
    def work() -> int:
        engine = build_shared_engine()
        use(engine)
        close_descriptors()
        theirs = os.open("/dev/null", os.O_RDONLY)
        dead = len(read_files(folder)[False])
        request_check()
        use(engine)
        gc.collect()
        os.fstat(theirs)  # nobody closed it: its number was ours before
        return dead

    with Child(work) as child:
        assert child.answer == 1
        assert find_pool(read_files(folder)[True][0]).checkouts == 1
        assert read_total(folder).checkouts == 2


def test_a_live_process_that_was_merged_starts_again_at_zero(folder: Path) -> None:
    def work() -> None:
        engine = build_shared_engine()
        use(engine, 4)
        engine.info = engine.raw_connection()
        close_descriptors()
        in_child(lambda: use(build_shared_engine("folder")))
        request_check()
        use(engine, 2)

    with Child(work):
        total = read_total(folder)
        assert total.checkouts == 5 + 2 + 1
        assert total.checked_out == 1


def close_descriptors() -> None:
    """Close descriptors as a daemonizer does, except the pipes of the test."""
    gc.collect()  # the leftovers of other tests close their files themselves
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


def watch_attempts(
    monkeypatch: pytest.MonkeyPatch, first_fault: OSError | None = None
) -> list[int]:
    """Return the number of files at each attempt to create one; the first may fail."""
    create = ProcessFile.create
    attempts: list[int] = []

    def watch(folder: Path, *arguments: Any) -> ProcessFile:
        attempts.append(len(list(folder.glob("*.pool"))))
        if first_fault is not None and len(attempts) == 1:
            raise first_fault
        return create(folder, *arguments)

    monkeypatch.setattr(ProcessFile, "create", watch)
    return attempts


def begin_window(engine: Any) -> None:
    """Begin a peak window, as the first event after a few seconds does."""
    engine.pool._recorder.block.buffer.begin_window()
    PROCESS.request_maintenance()  # another engine may have begun this window


def request_check() -> None:
    """Request a check of the file, as each peak window does."""
    file = PROCESS._sharing._file
    assert file is not None
    file.request_check()
    PROCESS.request_maintenance()


def test_a_pool_built_from_its_class_attempts_again_to_share(
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
