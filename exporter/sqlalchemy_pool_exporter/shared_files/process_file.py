"""Reads one file of a process, or `retired`, which holds what was counted by those that are gone.

Nothing of a file is trusted: whatever it is, it takes bounded time and memory and raises nothing.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.file_format import (
    HEADER_BYTES,
    FileContents,
    UnreadableFile,
    count_blocks,
    read_contents,
    size_in_use,
)
from sqlalchemy_pool_metrics.file_reader import is_alive, open_file, read_stable
from sqlalchemy_pool_metrics.snapshot import keep_counters

# A description that is being replaced looks damaged for some microseconds.
TRIES: Final = 3


PAGE_BYTES: Final = 4096


class FileState(StrEnum):
    """What a file is to its reader; the words are a label's values."""

    LIVE = "live"
    DEAD = "dead"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class FileReading:
    """What a file is, the id of its process, and its pools; `problem` is why it is unreadable.

    `pages` are what it took to read it, whatever came of that.
    """

    state: FileState
    pid: int = 0
    pools: tuple[Snapshot, ...] = ()
    problem: str = ""
    pages: int = 0


def read_file(path: str, identity: int) -> FileReading:
    """Returns what the file of this id says. Raises FileNotFoundError when there is none."""
    try:
        descriptor = open_file(path)
    except FileNotFoundError:
        raise
    except (UnreadableFile, OSError) as error:
        return build_unreadable(error)
    try:
        state = FileState.LIVE if is_alive(descriptor) else FileState.DEAD
        contents = read_sane(descriptor)
        if contents.id != identity:
            raise UnreadableFile(f"its id is {contents.id:012x}, its name says {identity:012x}")
        pools = contents.pools
        if state is FileState.DEAD:
            pools = tuple(map(keep_counters, pools))
        pages = max(contents.bytes_in_use // PAGE_BYTES, len(pools))
        return FileReading(state, contents.pid, pools, pages=pages)
    except Exception as error:  # whatever a file can be that nobody vouches for
        return build_unreadable(error, count_pages(descriptor))
    finally:
        os.close(descriptor)


def count_pages(descriptor: int) -> int:
    """Returns how many pages or blocks, whichever is more, a file's header makes us read.

    Blocks can be tiny, and each takes the time and memory of a pool.
    """
    try:
        data = os.pread(descriptor, HEADER_BYTES, 0)
    except OSError:
        return 0
    return max(count_blocks(data), size_in_use(data) // PAGE_BYTES)


def read_sane(descriptor: int) -> FileContents:
    """Returns what a file says, if that can be. Raises UnreadableFile and OSError."""
    for tries_left in reversed(range(TRIES)):
        try:
            now_ns = time.monotonic_ns()
            contents = read_contents(read_stable(descriptor), now_ns)
            break
        except UnreadableFile:
            if not tries_left:
                raise
    if not contents.is_sane:
        raise UnreadableFile("its numbers make no sense")
    return contents


def build_unreadable(error: Exception, pages: int = 0) -> FileReading:
    """Returns what is known of a file that cannot be read."""
    return FileReading(FileState.UNREADABLE, problem=f"{error}", pages=pages)


class MergedFile:
    """The file `retired` as it was when this was made; it is held open until the block ends.

    As long as it is open no other file can have its inode: so `is_current` is sure.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file. What is wrong with it is in `problem`; then it counts as empty."""
        self.pools: tuple[Snapshot, ...] = ()
        self.merged_ids: frozenset[int] = frozenset()
        self.problem = ""
        self._path = path
        self._descriptor: int | None = None
        self._inode = find_inode(path)
        try:
            self._descriptor = open_file(str(path))
            status = os.fstat(self._descriptor)
            self._inode = (status.st_dev, status.st_ino)
            contents = read_sane(self._descriptor)
            self.pools = tuple(map(keep_counters, contents.pools))
            self.merged_ids = contents.merged_ids
        except FileNotFoundError:
            pass
        except Exception as error:  # as above
            self.problem = f"{error}"

    def is_current(self) -> bool:
        """Returns whether it has not been replaced."""
        return find_inode(self._path) == self._inode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def find_inode(path: Path) -> tuple[int, int] | None:
    """Returns what tells a file from any other that exists; None when there is none to be seen."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@dataclass(frozen=True, slots=True)
class ProcessPools:
    """The pools of one process, under its id and the file's: `4711-0123456789ab`.

    Of a dead process only counters are left (`processes` 0). `process` is empty for those whose
    files are gone already, all together.
    """

    process: str
    pools: Sequence[Snapshot]


@dataclass(frozen=True, slots=True)
class AppReading:
    """Every process's pools, and how many files there are of each state, if there is a folder.

    `problem` is why the folder cannot be read.
    """

    processes: Sequence[ProcessPools]
    files: Mapping[FileState, int]
    problem: str = ""


NO_FOLDER = AppReading((), {})


# Whatever is in a folder that cannot be read counts as one file, so that its gauge tells of it.
UNREADABLE_FOLDER = AppReading((), dict.fromkeys(FileState, 0) | {FileState.UNREADABLE: 1})
