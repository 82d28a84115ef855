"""The shared file of this process: create it, place pools in its blocks, watch over it.

The file is created under a temporary name, filled, locked and then renamed, so that readers only
ever see a complete one. Its lock (flock) is the sign of life: the kernel drops it however the
process ends, and a reader sees that in another container and through a read-only mount.

The file is sparse. A block takes up space on the volume from its first use on.
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

from .clock import monotonic_ns
from .file_format import (
    BLOCK_BYTES,
    HEADER_BYTES,
    SLOTS_OFFSET,
    UNMARKED_BLOCKS,
    BlockMarks,
    Header,
    build_header,
)
from .file_reader import SUFFIX, fcntl
from .layout import TABLE
from .slot_buffer import SlotBuffer
from .snapshot import PoolDescription
from .tagged_text import encode_description

__all__ = ["BLOCKS", "FILE_BYTES", "FOLDER_VARIABLE", "MODE", "MappedSlotBuffer", "ProcessFile"]

FOLDER_VARIABLE = "SQLALCHEMY_POOL_METRICS_DIR"
BLOCKS = 257
FILE_BYTES = HEADER_BYTES + BLOCKS * BLOCK_BYTES
RESTING_BLOCKS = 4
"""Free blocks to use in turn: readers may still be copying one that was just freed."""
MODE = 0o444
"""All users may read a file, whatever the umask, and only root can truncate it by mistake: a mapped
file that shrinks kills its process with SIGBUS."""

_mappings: list[mmap.mmap] = []
"""Keeps every mapping open. Before Python 3.13 a mapping has its own descriptor and closes it by
its number. After a daemonizer has closed all descriptors, that number may be one of the
application's."""


class MappedSlotBuffer(SlotBuffer):
    """A block in the shared file.

    Attributes:
        file: The file.
        bit: The bit of this block in `BlockMarks`.
    """

    def __init__(self, file: ProcessFile, number: int, block: memoryview) -> None:
        super().__init__(block[SLOTS_OFFSET:])
        self.file = file
        self.on_new_window = file.request_check
        self.bit = 1 << number
        self._text_tag = block[:8].cast("Q")
        self._text = block[8:SLOTS_OFFSET]

    def describe(self, description: PoolDescription) -> None:
        """Replace the description of the pool, which is valid for readers at every moment."""
        text, text_tag = encode_description(description, len(self._text))
        self.description = description
        if text_tag != self._text_tag[0]:
            # The tag goes first and comes back last: a reader never takes half of the text.
            self._text_tag[0] = 0
            self._text[: len(text)] = text
            self._text_tag[0] = text_tag


class ProcessFile:
    """The shared file of this process, with a block for each pool; for one thread at a time.

    Attributes:
        path: Where the file is.
        id: Its random id, the hex digits in its name.
        marks: Which blocks readers count.
        check_is_due: Whether to check `is_locked` and `is_linked` at the next event; set at the
            first event of each peak window.
    """

    def __init__(
        self,
        path: Path,
        identity: int,
        mapping: memoryview,
        lock: int,
        request_maintenance: Callable[[], None],
    ) -> None:
        self.path = path
        self.id = identity
        self.check_is_due = False
        self._request_maintenance = request_maintenance
        self.marks = BlockMarks(mapping[:HEADER_BYTES])
        self._mapping = mapping
        self._lock: int | None = lock
        self._inode = _inode(os.fstat(lock))
        self._free: deque[MappedSlotBuffer] = deque()
        self._blocks = 0

    def __repr__(self) -> str:
        free = len(self._free) + BLOCKS - self._blocks
        return f"<ProcessFile {self.path} free={free}/{BLOCKS}>"

    @classmethod
    def create(
        cls,
        folder: Path,
        application: str,
        notes: dict[str, str],
        request_maintenance: Callable[[], None],
    ) -> ProcessFile:
        """Create and lock the file.

        Args:
            folder: The shared folder.
            application: Becomes the beginning of the file's name.
            notes: Versions, for people who look into the file.
            request_maintenance: Called at the first event of each peak window.

        Raises:
            OSError: The file cannot be created; nothing is left behind.
        """
        if fcntl is None:
            raise OSError("this platform has no file locks that end with their process")
        identity = int.from_bytes(os.urandom(6), "big")
        name = f"{_clean(application)}-{os.getpid()}-{identity:012x}"
        path, temporary = folder / f"{name}{SUFFIX}", folder / f".{name}.tmp"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor, lock = os.open(temporary, flags, MODE), None
        try:
            os.fchmod(descriptor, MODE | stat.S_IWUSR)
            os.ftruncate(descriptor, FILE_BYTES)
            _allocate(descriptor, 0, HEADER_BYTES + RESTING_BLOCKS * BLOCK_BYTES)
            os.pwrite(descriptor, _build_header(identity, notes), 0)
            mapping = _map(descriptor)
            # Lock a second opening that is never mapped. A forked child inherits the mapping, and
            # with it the opening behind it: a lock on that one would outlive this process.
            lock = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(lock, MODE)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            if lock is not None:
                os.close(lock)
            raise
        finally:
            os.close(descriptor)
        return cls(path, identity, mapping, lock, request_maintenance)

    def request_check(self) -> None:
        """Request a check of the file at the next event."""
        self.check_is_due = True
        self._request_maintenance()

    def take(self, spare: int = 0) -> MappedSlotBuffer | None:
        """Return an unpublished, cleared block; None if no more than `spare` are free.

        It is the block that has been free for longest.
        """
        while len(self._free) < RESTING_BLOCKS and self._add_block():
            pass
        if len(self._free) <= spare:
            return None
        buffer = self._free.popleft()
        buffer.clear()
        return buffer

    def _add_block(self) -> bool:
        """Allocate the next block; return False if there is none or the volume is full."""
        lock = self._find_lock()
        if lock is None or self._blocks == BLOCKS:
            return False
        start = HEADER_BYTES + self._blocks * BLOCK_BYTES
        try:
            _allocate(lock, start, BLOCK_BYTES)
        except OSError:
            return False
        block = self._mapping[start : start + BLOCK_BYTES]
        self._free.append(MappedSlotBuffer(self, self._blocks, block))
        self._blocks += 1
        return True

    def publish(self, buffer: MappedSlotBuffer, replaces: Iterable[MappedSlotBuffer] = ()) -> None:
        """Make readers count a block instead of those that it replaces, in one store."""
        replaced = list(replaces)
        self.marks.replace(sum(each.bit for each in replaced), buffer.bit)
        self._free.extend(replaced)

    def free(self, buffer: MappedSlotBuffer) -> None:
        """Make readers stop counting a block."""
        self.marks.replace(buffer.bit, 0)
        self._free.append(buffer)

    def is_locked(self) -> bool:
        """Return whether the lock still exists; a daemonizer may have closed all descriptors."""
        return self._find_lock() is not None

    def _find_lock(self) -> int | None:
        """Return the descriptor of the lock; None if it is closed, or another file's by now."""
        try:
            is_ours = self._lock is not None and _inode(os.fstat(self._lock)) == self._inode
        except OSError:
            return None
        return self._lock if is_ours else None

    def is_linked(self) -> bool:
        """Return whether the file still exists under its name."""
        try:
            return _inode(self.path.lstat()) == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Drop the lock; in a forked child only the child's share of it.

        Never LOCK_UN: in a child it would unlock the parent's file.
        """
        lock = self._find_lock()
        if lock is not None:
            os.close(lock)
        self._lock = None


def _build_header(identity: int, notes: dict[str, str]) -> bytes:
    header = Header(
        blocks=UNMARKED_BLOCKS,
        unused=(1 << UNMARKED_BLOCKS) - 1,
        id=identity,
        pid=os.getpid(),
        created_ns=time.time_ns(),
        created_monotonic_ns=monotonic_ns(),
    )
    return build_header(TABLE, notes, header)


def _allocate(descriptor: int, start: int, size: int) -> None:
    # A store into a mapped page for which the volume has no room kills the process with SIGBUS.
    # Allocating in advance turns a full volume into a plain ENOSPC.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, size)
    else:
        os.pwrite(descriptor, bytes(size), start)


def _map(descriptor: int) -> memoryview:
    if sys.version_info >= (3, 13):  # https://github.com/python/cpython/issues/78502
        mapping = mmap.mmap(descriptor, FILE_BYTES, trackfd=False)
    else:
        mapping = mmap.mmap(descriptor, FILE_BYTES)
    _mappings.append(mapping)
    return memoryview(mapping)


def _clean(application: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", application)[:40].lstrip(".") or "app"


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
