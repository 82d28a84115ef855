"""Notices that files have changed, by reading them now and then.

It must not know what files mean, nor what is done about a change. Kubernetes replaces a mounted
file by renaming a symbolic link to the folder above it, editors by renaming another file over it,
and network file systems tell nobody: reading works for all of them.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from exporter.threads import call_in_daemon

INTERVAL_SECONDS: Final = 5.0
MAX_BYTES: Final = 8 * 1024 * 1024

ListFiles: TypeAlias = Callable[[], Iterable[Path]]
# What each file held: a digest, or why it could not be read.
Contents: TypeAlias = Mapping[Path, str]


class Watch:
    """Calls `on_change` after the content of any file has changed, or the list of files has.

    What was there is read by `look`, at the latest when `run` begins. A file system that hangs
    costs one thread, and no change is noticed as long as it does.
    """

    def __init__(
        self,
        list_files: ListFiles,
        on_change: Callable[[], Awaitable[None]],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._list_files = list_files
        self._on_change = on_change
        self._interval_seconds = interval_seconds
        self._seen: Contents | None = None

    def look(self) -> bool:
        """Reads the files now; blocks. Returns whether they differ from what was read before."""
        before, self._seen = self._seen, read_contents(self._list_files())
        return before is not None and before != self._seen

    async def run(self) -> None:
        """Looks every so many seconds until cancelled; `on_change` must not raise anything."""
        while True:
            if await call_in_daemon(self.look, "watch of files"):
                await self._on_change()
            await asyncio.sleep(self._interval_seconds)

    def __repr__(self) -> str:
        return f"<Watch {len(self._seen or ())} files>"


def read_contents(files: Iterable[Path]) -> Contents:
    """Returns a digest of each file, or what kept it from being read; never raises."""
    return {file: read_digest(file) for file in files}


def read_digest(file: Path) -> str:
    """Returns a file's digest; of what is no regular file, like a pipe, only that it is none."""
    try:
        with open(file, "rb", opener=open_at_once) as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                return "no regular file"
            return hashlib.sha256(source.read(MAX_BYTES)).hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        return f"{type(error).__name__} {getattr(error, 'errno', '')}"


def open_at_once(path: str, flags: int) -> int:
    """Opens without waiting for the writer of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
