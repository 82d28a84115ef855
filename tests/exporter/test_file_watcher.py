"""Changed files are noticed, however they were changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.reload import FileWatcher
from tests.exporter.waiting import wait_for

pytestmark = pytest.mark.anyio


class Count:
    """How often something was noticed."""

    def __init__(self) -> None:
        self.changes = 0

    async def note(self) -> None:
        self.changes += 1


@asynccontextmanager
async def open_watch(list_files: Callable[[], list[Path]]) -> AsyncIterator[Count]:
    count = Count()
    watch = FileWatcher(list_files, count.note, interval_seconds=0.01)
    watch.look()
    task = asyncio.create_task(watch.run())
    try:
        yield count
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def write_in_place(file: Path) -> None:
    file.write_text("two")


def rename_over(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_text("two")
    new.replace(file)


def touch_back(file: Path) -> None:
    """As long and as old as before: only the content tells."""
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [write_in_place, rename_over, touch_back, remove])
async def test_a_changed_file_is_noticed_once(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("one")
    looks = 0

    def list_files() -> list[Path]:
        nonlocal looks
        looks += 1
        return [file]

    async with open_watch(list_files) as count:
        change(file)
        await wait_for(lambda: count.changes == 1)
        seen = looks
        await wait_for(lambda: looks >= seen + 3)
        assert count.changes == 1


async def test_a_mounted_configmap_that_is_swapped_is_noticed(tmp_path: Path) -> None:
    """Kubernetes: settings.yaml -> ..data/settings.yaml, ..data -> ..2026_11_21, renamed over."""
    for name, text in (("..1", "one"), ("..2", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "settings.yaml"
    file.symlink_to("..data/settings.yaml")
    async with open_watch(lambda: [file]) as count:
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await wait_for(lambda: count.changes == 1)


async def test_a_file_more_in_the_list_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    async with open_watch(lambda: sorted(tmp_path.iterdir())) as count:
        (tmp_path / "two").touch()
        await wait_for(lambda: count.changes == 1)


async def test_a_change_between_the_first_look_and_the_run_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("one")
    count = Count()
    watch = FileWatcher(lambda: [file], count.note, interval_seconds=0.01)
    watch.look()
    file.write_text("two")
    task = asyncio.create_task(watch.run())
    await wait_for(lambda: count.changes == 1)
    task.cancel()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    watch = FileWatcher(lambda: [pipe, tmp_path / "missing"], Count().note)
    assert watch.look() is False
    assert watch.look() is False
    assert repr(watch) == "<FileWatcher 2 files>"


async def test_what_is_due_is_called_at_every_look() -> None:
    count = Count()
    watch = FileWatcher(list, count.note, is_due=lambda: count.changes < 3, interval_seconds=0.01)
    task = asyncio.create_task(watch.run())
    await wait_for(lambda: count.changes == 3)
    task.cancel()


async def test_a_look_that_fails_is_told_once_and_others_follow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("one")
    failures = 3

    def list_files() -> list[Path]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise RuntimeError("can't start new thread")
        return [file]

    count = Count()
    watch = FileWatcher(list_files, count.note, seen={}, interval_seconds=0.01)
    task = asyncio.create_task(watch.run())
    await wait_for(lambda: count.changes == 1)
    task.cancel()
    assert caplog.messages == ["files cannot be watched"]
