"""The life of a file that a process shares, and how files are found, opened and read by others.

Made under a temporary name, with its space allocated, since a store into a mapped page for which
there is no room kills the process; filled, locked, renamed. The lock (flock) is the sign of life:
the kernel drops it when the process ends in any way, and everybody sees it, also in another
container and through a read-only mount. It is on a second opening of the file, which is never
mapped: a child that inherits a mapping would keep the lock.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from .file_format import (
    BLOCK_BYTES,
    HEADER_BYTES,
    SLOTS_OFFSET,
    UNUSED,
    Header,
    UnreadableFile,
    build_header,
    encode_description,
    size_in_use,
)
from .layout import TABLE
from .row import Row
from .snapshot import PoolDescription

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "FILE_BYTES",
    "MAX_FILE_BYTES",
    "RETIRED",
    "SUFFIX",
    "ProcessFile",
    "SharedRow",
    "fcntl",
    "is_alive",
    "list_files",
    "open_file",
    "read_bytes",
    "read_stable",
]

SUFFIX = ".pool"
RETIRED = "retired"
BLOCKS = 15
FILE_BYTES = HEADER_BYTES + BLOCKS * BLOCK_BYTES
MAX_FILE_BYTES = 4 << 20
MODE = 0o444
"""For every reader, whatever the umask; and nobody but root truncates it by mistake."""
STABLE_TRIES = 4
FIRST_BLOCKS = 2
"""Read together with the header: as many pools as most applications have."""

_mapped: list[mmap.mmap] = []
"""Keeps every mapping for good. Closing one closes a descriptor that it has of its own, and after
a daemonizer has closed all descriptors that number may be the application's."""


class SharedRow(Row):
    """A block in a mapped file."""

    def __init__(self, file: ProcessFile, number: int, block: memoryview) -> None:
        super().__init__(block[SLOTS_OFFSET:].cast("Q"))
        self.file = file
        self.wake = file.wake
        self.bit = 1 << number
        self._word = block[:8].cast("Q")
        self._text = block[8:SLOTS_OFFSET]

    def describe(self, description: PoolDescription) -> None:
        text, word = encode_description(description, len(self._text))
        self.description = description
        if word != self._word[0]:
            self._word[0] = 0
            self._text[: len(text)] = text
            self._word[0] = word


class ProcessFile:
    """The file of this process, with a row for each of its pools; for one thread at a time.

    `wake` is called at the first event of each window of 4.3 s: it is time to look whether the file
    is still as it was. After that `is_due` is True.
    """

    def __init__(
        self, path: Path, identity: int, mapping: memoryview, lock: int, wake: Callable[[], None]
    ) -> None:
        self.path = path
        self.id = identity
        self.is_due = False
        self._wake = wake
        self._numbers = mapping[:HEADER_BYTES].cast("Q")
        self._lock: int | None = lock
        self._inode = _inode(os.fstat(lock))
        starts = range(HEADER_BYTES, FILE_BYTES, BLOCK_BYTES)
        self._free = deque(
            SharedRow(self, number, mapping[start : start + BLOCK_BYTES])
            for number, start in enumerate(starts)
        )

    def __repr__(self) -> str:
        return f"<ProcessFile {self.path} free={len(self._free)}/{BLOCKS}>"

    @classmethod
    def create(
        cls, folder: Path, application: str, notes: dict[str, str], wake: Callable[[], None]
    ) -> ProcessFile:
        """Make the file and lock it. Raises OSError, and leaves nothing behind then."""
        if fcntl is None:
            raise OSError("this platform has no file locks that end with their process")
        identity = int.from_bytes(os.urandom(6), "big")
        name = f"{_clean(application)}-{os.getpid()}-{identity:012x}"
        path, temporary = folder / f"{name}{SUFFIX}", folder / f".{name}.tmp"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor, lock = os.open(temporary, flags, MODE), None
        try:
            os.fchmod(descriptor, MODE)
            _allocate(descriptor)
            os.pwrite(descriptor, _build_header(identity, notes), 0)
            mapping = _map(descriptor)
            lock = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            if lock is not None:
                os.close(lock)
            raise
        finally:
            os.close(descriptor)
        return cls(path, identity, mapping, lock, wake)

    def wake(self) -> None:
        """Ask to be looked after at the next event."""
        self.is_due = True
        self._wake()

    def take(self, spare: int = 0) -> SharedRow | None:
        """A row that does not count yet, unless only `spare` are free.

        The one that has been free for longest, so that nobody still reads it in its last use.
        """
        if len(self._free) <= spare:
            return None
        row = self._free.popleft()
        row.clear()
        return row

    def publish(self, row: SharedRow, instead_of: Iterable[SharedRow] = ()) -> None:
        """Let a row count from now on, and others no more, in one step; these are free then."""
        others = list(instead_of)
        unused = self._numbers[UNUSED] & ~row.bit
        for other in others:
            unused |= other.bit
        self._numbers[UNUSED] = unused
        self._free.extend(others)

    def free(self, row: SharedRow) -> None:
        """Let a row count no more."""
        self._numbers[UNUSED] |= row.bit
        self._free.append(row)

    def is_locked(self) -> bool:
        """Whether the lock is still there: somebody may have closed all descriptors."""
        try:
            return self._lock is not None and _inode(os.fstat(self._lock)) == self._inode
        except OSError:
            return False

    def is_linked(self) -> bool:
        """Whether others still find the file under its name."""
        try:
            return _inode(self.path.lstat()) == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Drop the lock, in the process that has it, or this process's share of it in a child.

        The descriptor is looked at first: when all were closed, its number may be somebody else's.
        """
        if self.is_locked() and self._lock is not None:
            os.close(self._lock)
        self._lock = None


def list_files(folder: Path) -> list[str]:
    """The paths of the processes' files in a folder, in no order. Raises OSError."""
    with os.scandir(folder) as entries:
        return [
            entry.path
            for entry in entries
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
        ]


def open_file(path: str) -> int:
    """A descriptor to read a file that need not be ours, without ever blocking.

    Raises UnreadableFile for what is not a regular file of a possible size, and OSError.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:  # a symbolic link, a socket, or no right to read it
        raise UnreadableFile(str(error)) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES:
        return descriptor
    os.close(descriptor)
    raise UnreadableFile(f"not a regular file of at most {MAX_FILE_BYTES} bytes")


def is_alive(descriptor: int) -> bool:
    """Whether the process that shares this file still runs: it has the lock all its life."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def read_bytes(descriptor: int) -> bytes:
    """What of a file its header says is in use, at most MAX_FILE_BYTES.

    Reading cannot kill us as a mapping can, when somebody truncates the file.
    """
    data = os.pread(descriptor, HEADER_BYTES + FIRST_BLOCKS * BLOCK_BYTES, 0)
    more = min(size_in_use(data), MAX_FILE_BYTES) - len(data)
    return data if more <= 0 else data + os.pread(descriptor, more, len(data))


def read_stable(descriptor: int) -> bytes:
    """The file as it was at one moment: read until two copies agree, or a few times.

    A copy that is not of one moment may show a connection twice or not at all that was returned
    and taken again meanwhile; no counter in it ever runs backwards, see `layout`.
    """
    data = read_bytes(descriptor)
    for _ in range(STABLE_TRIES):
        before, data = data, os.pread(descriptor, len(data), 0)
        if data == before:
            break
    return data


def _build_header(identity: int, notes: dict[str, str]) -> bytes:
    header = Header(
        blocks=BLOCKS,
        unused=(1 << BLOCKS) - 1,
        id=identity,
        pid=os.getpid(),
        created_ns=time.time_ns(),
        created_monotonic_ns=time.monotonic_ns(),
    )
    return build_header(TABLE, notes, header)


def _allocate(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, FILE_BYTES)
    else:
        os.pwrite(descriptor, bytes(FILE_BYTES), 0)


def _map(descriptor: int) -> memoryview:
    if sys.version_info >= (3, 13):
        mapping = mmap.mmap(descriptor, FILE_BYTES, trackfd=False)
    else:
        mapping = mmap.mmap(descriptor, FILE_BYTES)
    _mapped.append(mapping)
    return memoryview(mapping)


def _clean(application: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", application)[:40].lstrip(".") or "app"


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
