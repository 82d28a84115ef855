"""Reads one file: that of a process, or the one that holds the counters of dead processes.

Files are not trusted. Whatever one contains, reading it takes bounded time and memory.
"""

import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Self

from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.file_format import (
    MAX_BLOCK_BYTES,
    FileContents,
    UnreadableFile,
    count_blocks,
    read_contents,
    size_in_use,
)
from sqlalchemy_pool_metrics.file_reader import is_alive, open_file, read_bytes, read_stable
from sqlalchemy_pool_metrics.slot_reader import DEFAULT_OVERDUE_NS
from sqlalchemy_pool_metrics.snapshot import keep_counters

# The description of a pool looks damaged for some microseconds while its process replaces it.
READ_TRIES: Final = 3
PAGE_BYTES: Final = 4096
# As many take about as much memory as a page.
OVERDUE_OF_A_PAGE: Final = 16
HOLDERS_OF_A_PAGE: Final = 64


class FileState(StrEnum):
    """The state of a file. Users see these words as values of a label."""

    LIVE = "live"
    DEAD = "dead"
    UNREADABLE = "unreadable"


class FileReading(NamedTuple):
    """The result of reading a process's file. A tuple, because a scrape builds many.

    Attributes:
        pools: Only with counters if the process is dead.
        problem: Why the file is unreadable.
        pages: The cost of reading it, even if it is unreadable.
        left_out: How many pools of a live process are not in its file.
    """

    state: FileState
    pid: int = 0
    pools: tuple[Snapshot, ...] = ()
    problem: str = ""
    pages: int = 0
    left_out: int = 0


def read_file(
    path: str,
    identity: int,
    last_alive: dict[int, int] | None = None,
    overdue_ns: int = DEFAULT_OVERDUE_NS,
) -> FileReading:
    """Read the file with this id. Raises FileNotFoundError and nothing else.

    Args:
        path: The file.
        identity: The id.
        last_alive: See `choose_time`.
        overdue_ns: A connection that has been out for longer is overdue.
    """
    try:
        descriptor = open_file(path)
    except FileNotFoundError:
        raise
    except (UnreadableFile, OSError) as error:
        return FileReading(FileState.UNREADABLE, problem=str(error))
    try:
        # Before reading the contents: those of a dead process no longer change.
        state = FileState.LIVE if is_alive(descriptor) else FileState.DEAD
        read = read_stable if state is FileState.LIVE else read_bytes
        at_ns = choose_time(state, identity, last_alive)
        contents = read_sane(descriptor, read, at_ns, overdue_ns)
        if contents.id != identity:
            raise UnreadableFile(f"its id is {contents.id:012x}, its name says {identity:012x}")
        if state is FileState.DEAD:
            pools, left_out = tuple(map(keep_counters, contents.pools)), 0
        else:
            pools, left_out = contents.pools, contents.left_out
        pages = max(contents.bytes_in_use // PAGE_BYTES, len(pools))
        pages += contents.overdue // OVERDUE_OF_A_PAGE + contents.holders // HOLDERS_OF_A_PAGE
        return FileReading(state, contents.pid, pools, "", pages, left_out)
    except Exception as error:  # a scrape must survive every file
        pages = count_pages(descriptor)
        return FileReading(FileState.UNREADABLE, problem=str(error), pages=pages)
    finally:
        os.close(descriptor)


def choose_time(state: FileState, identity: int, last_alive: dict[int, int] | None) -> int | None:
    """Return the time until which operations in flight count; None for now.

    It is unknown when a dead process ended, and its counters must not fall below what they showed.
    So they end when a scrape last saw the process alive, or else first saw it dead.

    Args:
        state: Whether the process is alive.
        identity: The id of its file.
        last_alive: That time of each file, in monotonic ns; updated here.
    """
    if last_alive is None:
        return None
    now_ns = time.monotonic_ns()
    if state is FileState.DEAD:
        return last_alive.setdefault(identity, now_ns)
    last_alive[identity] = now_ns
    return now_ns


def read_sane(
    descriptor: int,
    read: Callable[[int], bytes],
    at_ns: int | None = None,
    overdue_ns: int = DEFAULT_OVERDUE_NS,
) -> FileContents:
    """Return the contents of a file at a monotonic time, by default now.

    Args:
        descriptor: The file.
        read: How to read its bytes: `read_stable` if they may change.
        at_ns: The time.
        overdue_ns: A connection that has been out for longer is overdue.

    Raises:
        UnreadableFile: The contents make no sense.
        OSError: The file cannot be read.
    """
    for tries_left in reversed(range(READ_TRIES)):
        try:
            now_ns = time.monotonic_ns() if at_ns is None else at_ns
            contents = read_contents(read(descriptor), now_ns, overdue_ns)
            break
        except UnreadableFile:
            if not tries_left:
                raise
    if not contents.is_sane:
        raise UnreadableFile("its numbers make no sense")
    return contents


def count_pages(descriptor: int) -> int:
    """Return how many pages or blocks, whichever is more, a file's header makes us read.

    Blocks can be tiny, and each takes the time and memory of a pool.
    """
    try:
        data = os.pread(descriptor, MAX_BLOCK_BYTES, 0)
    except OSError:
        return 0
    return max(count_blocks(data), size_in_use(data) // PAGE_BYTES)


class MergedFile:
    """The contents of the file `retired`, with the counters of dead processes.

    Use it in a `with` block, which keeps the file open. The kernel gives its inode to no other
    file meanwhile, so that `is_current` cannot mistake a new file for this one.

    Attributes:
        pools: The counters of the processes, by pool.
        merged_ids: The files whose counters are in it. Such a file may still exist for a moment.
        problem: Why it is unreadable. It then counts as empty.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, which need not exist."""
        self.pools: tuple[Snapshot, ...] = ()
        self.merged_ids: frozenset[int] = frozenset()
        self.problem = ""
        self._path = path
        self._descriptor: int | None = None
        # Even if the file cannot be opened: otherwise each scan would take it for a new one.
        self._inode = read_inode(path)
        try:
            self._descriptor = open_file(str(path))
            status = os.fstat(self._descriptor)
            self._inode = (status.st_dev, status.st_ino)
            contents = read_sane(self._descriptor, read_bytes)
            self.pools = tuple(map(keep_counters, contents.pools))
            self.merged_ids = contents.merged_ids
        except FileNotFoundError:
            pass
        except Exception as error:  # a scrape must survive every file
            self.problem = str(error)

    def is_current(self) -> bool:
        """Return whether the file has not been replaced."""
        return read_inode(self._path) == self._inode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def read_inode(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, None if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
