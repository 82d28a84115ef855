"""Renewing the settings of a running exporter: when, one time after the other, and how it went.

It must not know what settings hold, nor how they are put into use.
"""

import asyncio
import hashlib
import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from sqlalchemy_pool_exporter.databases import EnginesError
from sqlalchemy_pool_exporter.settings import Settings, SettingsErrors
from sqlalchemy_pool_exporter.threads import call_in_daemon

logger = logging.getLogger(__name__)


READ_SECONDS: Final = 10.0


class ReloadError(Exception):
    """The settings in use stay; its text has a line for each problem and no secrets."""


INTERVAL_SECONDS: Final = 5.0


ListFiles: TypeAlias = Callable[[], Iterable[Path]]


# What each file held: a digest, or why it could not be read.
Fingerprints: TypeAlias = Mapping[Path, str]


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings come from: how to read them, and the files that they are read from.

    All block, and are called in a thread; they raise SettingsErrors, `list_files` nothing.
    `contents` is what the files held before the settings in use were read, `interval_seconds` how
    often it is looked whether they have changed. With `load_without_databases`, which reads them
    without databases, they are waited for at the start until they can be used.
    """

    load: Callable[[], Settings]
    list_files: ListFiles
    contents: Fingerprints | None = None
    interval_seconds: float = INTERVAL_SECONDS
    load_without_databases: Callable[[], Settings] | None = None


# Puts what is configured into use and says what changed. Raises what its parts raise.
Renew: TypeAlias = Callable[[], Awaitable[str]]


class Reloader:
    """Reloads on request, when files change, and after a failure again and again.

    `is_loaded` says that settings are in use already. `is_successful` tells about the last attempt;
    `succeeded_at` is when settings were last put into use, in unix seconds; None if never.
    """

    def __init__(
        self,
        renew: Renew,
        list_files: ListFiles,
        contents: Fingerprints | None = None,
        interval_seconds: float = INTERVAL_SECONDS,
        *,
        is_loaded: bool = True,
    ) -> None:
        self.is_successful = is_loaded
        self.succeeded_at = time.time() if is_loaded else None
        self._renew = renew
        self._turn = asyncio.Lock()
        self._problem = ""
        self._watch = FileWatcher(
            list_files,
            self._reload_for_a_change,
            seen=contents,
            is_due=lambda: not self.is_successful,
            interval_seconds=interval_seconds,
        )

    async def reload(self) -> str:
        """Puts what is configured now into use; returns what changed, for people.

        Raises ReloadError when it cannot be used; what was in use stays in use.
        """
        self._problem = ""  # whoever asks for it is told, also what was told before
        return await self._reload()

    async def _reload(self) -> str:
        async with self._turn:
            try:
                await self._look()
                change = await self._renew()
            except (SettingsErrors, EnginesError, ReloadError) as error:
                raise self._note_failure(str(error)) from None
            except TimeoutError:
                text = f"its files could not be read within {READ_SECONDS:g} s"
                raise self._note_failure(text) from None
            except Exception as error:
                logger.exception("configuration not %s", self._verb)
                raise self._note_failure("an error of the exporter's own, see its log") from error
            logger.info("configuration %s: %s", self._verb, change)
            self.is_successful = True
            self.succeeded_at = time.time()
            self._problem = ""
        return change

    @property
    def _verb(self) -> str:
        return "loaded" if self.succeeded_at is None else "reloaded"

    async def _look(self) -> None:
        """Knows what is there before it is read: what changes later is another change."""
        async with asyncio.timeout(READ_SECONDS):
            await call_in_daemon(self._watch.look, "look at files")

    def _note_failure(self, text: str) -> ReloadError:
        """Returns the error; the log has it once as long as it stays the same."""
        self.is_successful = False
        if text != self._problem:
            for line in text.splitlines():
                logger.error("configuration not %s: %s", self._verb, line)
        self._problem = text
        return ReloadError(text)

    async def reload_quietly(self) -> None:
        """Reloads for nobody who waits for the outcome: the log and the metrics tell it."""
        with suppress(ReloadError):
            await self.reload()

    async def _reload_for_a_change(self) -> None:
        with suppress(ReloadError):
            await self._reload()

    async def watch(self) -> None:
        """Reloads whenever a file has changed, until cancelled."""
        await self._watch.run()

    def __repr__(self) -> str:
        return f"<Reloader {'successful' if self.is_successful else 'failed'}>"


MAX_BYTES: Final = 8 * 1024 * 1024


class FileWatcher:
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
        seen: Fingerprints | None = None,
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
        before, self._seen = self._seen, read_fingerprints(self._list_files())
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
        return f"<FileWatcher {len(self._seen or ())} files>"


def read_fingerprints(files: Iterable[Path]) -> Fingerprints:
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
