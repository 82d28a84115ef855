"""Find, open and read the files that processes share."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .file_format import BLOCK_BYTES, HEADER_BYTES, UnreadableFile, size_in_use

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "MAX_FILE_BYTES",
    "RETIRED",
    "SUFFIX",
    "fcntl",
    "is_alive",
    "list_files",
    "open_file",
    "read_bytes",
    "read_stable",
]

SUFFIX = ".pool"
RETIRED = "retired"
"""The name of the file that holds the counters of dead processes."""
MAX_FILE_BYTES = 4 << 20
STABLE_TRIES = 4
FIRST_BLOCKS = 1
"""Blocks read together with the header: most applications have no more pools."""


def list_files(folder: Path) -> list[str]:
    """Return the paths of the process files in a folder, in any order."""
    with os.scandir(folder) as entries:
        return [
            entry.path
            for entry in entries
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
        ]


def open_file(path: str) -> int:
    """Return a descriptor for reading; never blocks, even if the path is a pipe.

    Raises:
        FileNotFoundError: The file is gone.
        UnreadableFile: It cannot be opened, or is not a regular file of a plausible size.
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
    """Return whether the process that shares this file still runs.

    The process holds the lock while it lives. A PID, a modification time or atexit is not reliable:
    containers share PIDs, and SIGKILL runs no code.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def read_bytes(descriptor: int) -> bytes:
    """Return the part of a file that its header says is in use, at most MAX_FILE_BYTES."""
    # pread() instead of a mapping, which raises SIGBUS when the file is truncated.
    data = os.pread(descriptor, HEADER_BYTES + FIRST_BLOCKS * BLOCK_BYTES, 0)
    while (missing := min(size_in_use(data), MAX_FILE_BYTES) - len(data)) > 0:
        more = os.pread(descriptor, missing, len(data))
        if not more:
            break
        data += more
    return data


def read_stable(descriptor: int) -> bytes:
    """Return the file as it was at one moment: read it until two copies agree, or a few times.

    If no copies agree, a connection that was returned and taken again meanwhile may show twice, or
    not at all. Even then no counter falls, see `layout`.
    """
    data = read_bytes(descriptor)
    for _ in range(STABLE_TRIES):
        before, data = data, os.pread(descriptor, len(data), 0)
        if data == before:
            break
    return data
