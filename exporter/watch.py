"""Notices that files have changed, by reading them now and then.

It must not know what files mean, nor what is done about a change. Kubernetes replaces a mounted
file by renaming a symbolic link to the folder above it, editors by renaming another file over it,
and network file systems tell nobody: reading works for all of them.
"""

import asyncio
import hashlib
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from exporter.threads import call_in_daemon

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 5.0
MAX_BYTES: Final = 8 * 1024 * 1024

ListFiles: TypeAlias = Callable[[], Iterable[Path]]
# What each file held: a digest, or why it could not be read.
Contents: TypeAlias = Mapping[Path, str]


class Watch:
    """Calls `on_change` after the content of any file has changed, or the list of files has.

    What they held at first is `seen`, or unless that is known what they hold at the first look.
    While it `is_due`, that is called at every look. A file system that hangs costs one thread, and
    no change is noticed as long as it does.
    """

    def __init__(
        self,
        list_files: ListFiles,
        on_change: Callable[[], Awaitable[None]],
        *,
        seen: Contents | None = None,
        is_due: Callable[[], bool] = lambda: False,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._list_files = list_files
        self._on_change = on_change
        self._seen = seen
        self._is_due = is_due
        self._interval_seconds = interval_seconds
        self._is_failing = False

    def look(self) -> bool:
        """Reads the files now; blocks. Returns whether they differ from what was read before."""
        before, self._seen = self._seen, read_contents(self._list_files())
        return before is not None and before != self._seen

    async def run(self) -> None:
        """Looks every so many seconds until cancelled; what fails is logged once, and goes on."""
        while True:
            try:
                await self._look()
                self._is_failing = False
            except Exception:  # of no thread or memory for it, for one
                if not self._is_failing:
                    logger.exception("files cannot be watched")
                self._is_failing = True
            await asyncio.sleep(self._interval_seconds)

    async def _look(self) -> None:
        is_changed = await call_in_daemon(self.look, "watch of files")
        if is_changed or self._is_due():
            await self._on_change()

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
            return hashlib.sha256(source.read(MAX_BYTES) or b"").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        return f"{type(error).__name__} {getattr(error, 'errno', '')}"


def open_at_once(path: str, flags: int) -> int:
    """Opens without waiting for the writer of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
