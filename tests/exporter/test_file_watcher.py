"""Changed files are noticed, however they were changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.reload import FileWatcher


def write_in_place(file: Path) -> None:
    file.write_text("two")


def rename_over(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_text("two")
    new.replace(file)


def touch_back(file: Path) -> None:
    """As long and as old as before: only the content differs."""
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [write_in_place, rename_over, touch_back, remove])
def test_a_changed_file_is_noticed_once(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("one")
    watcher = FileWatcher()
    watcher.add([file])
    assert not watcher.poll([file])
    change(file)
    assert watcher.poll([file])
    assert not watcher.poll([file])


def test_a_mounted_configmap_that_is_swapped_is_noticed(tmp_path: Path) -> None:
    """Kubernetes: settings.yaml -> ..data/settings.yaml, ..data -> ..2026_11_21, renamed over."""
    for name, text in (("..1", "one"), ("..2", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "settings.yaml"
    file.symlink_to("..data/settings.yaml")
    watcher = FileWatcher()
    watcher.add([file])
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert watcher.poll([file])


def test_another_file_in_the_list_is_a_change(tmp_path: Path) -> None:
    watcher = FileWatcher()
    watcher.add([tmp_path / "one"])
    assert watcher.poll([tmp_path / "one", tmp_path / "two"])
    assert watcher.poll([tmp_path / "two"])


def test_a_file_that_changes_between_two_adds_is_noticed(tmp_path: Path) -> None:
    """The second add comes after the file was read, and must not hide the change."""
    file = tmp_path / "settings.yaml"
    file.write_text("one")
    watcher = FileWatcher()
    watcher.add([file])
    file.write_text("two")
    watcher.add([file])
    assert watcher.poll([file])


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    files = [pipe, tmp_path / "missing"]
    watcher = FileWatcher()
    watcher.add(files)
    assert not watcher.poll(files)
    assert repr(watcher) == "<FileWatcher 2 files>"
