"""Reload the configuration of a running exporter.

It is read again on request, when a file has changed, and after a failure until that succeeds.
"""

import asyncio
import hashlib
import logging
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Protocol

from sqlalchemy_pool_exporter.databases import Database, EnginesError
from sqlalchemy_pool_exporter.service import NotRunningError, Service, State
from sqlalchemy_pool_exporter.settings import Settings, SettingsErrors
from sqlalchemy_pool_exporter.settings.secret_files import open_without_blocking
from sqlalchemy_pool_exporter.threads import BackgroundCalls

logger = logging.getLogger(__name__)

READ_SECONDS: Final = 10.0
POLL_SECONDS: Final = 5.0
# Far more than any configuration has. Changes beyond it are not noticed.
MAX_BYTES: Final = 8 * 1024 * 1024


class ReloadError(Exception):
    """The new configuration was not applied; the text has a line per problem and no secrets."""


class Source(Protocol):
    """Where settings come from. All methods block and may run in any thread."""

    def load(self) -> Settings:
        """Return the settings. Raises SettingsErrors."""

    def load_without_databases(self) -> Settings:
        """Return the settings without databases, which need not be valid. Raises SettingsErrors."""

    def list_files(self) -> list[Path]:
        """Return the files that the settings are read from. Never raises."""


@dataclass(frozen=True, slots=True)
class FixedSettings:
    """The source of settings that never change."""

    settings: Settings

    def load(self) -> Settings:
        """Return the settings."""
        return self.settings

    load_without_databases = load

    def list_files(self) -> list[Path]:
        """Return no files."""
        return []


class Reloader:
    """Reads the settings from their source and applies them to the service, one reload at a time.

    Use it in the event loop's thread. Files are read in a daemon thread; a read that hangs is
    joined by the next one, so that a file system that does not answer costs one thread.
    """

    def __init__(
        self,
        service: Service,
        source: Source | None,
        watcher: "FileWatcher",
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Without a source, reload only the web configuration."""
        self.has_source = source is not None
        self._service = service
        self._source: Source = source or FixedSettings(service.settings)
        self._watcher = watcher
        self._poll_seconds = poll_seconds
        self._turn = asyncio.Lock()
        self._logged_problem = ""
        self._watching: asyncio.Task[None] | None = None
        self._calls = BackgroundCalls("configuration")

    async def start(self) -> None:
        """Load the configuration if the service waits for one, then watch its files."""
        if self._service.state is State.WAITING:
            await self.reload_quietly()
        self._watching = asyncio.create_task(self._watch(), name="watch of files")

    def stop(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()

    async def reload(self) -> str:
        """Load and apply the current configuration; return what changed, for people.

        Raises:
            ReloadError: The new configuration cannot be used; the old one stays.
        """
        self._logged_problem = ""  # a person asked: log even what was logged before
        return await self._reload()

    async def reload_quietly(self) -> None:
        """Reload; the outcome is only in the log and the metrics."""
        with suppress(ReloadError):
            await self.reload()

    async def _reload(self) -> str:
        async with self._turn:
            try:
                # Before reading the files: a change made meanwhile must count as another one.
                await self._calls.run("polling", self._poll, READ_SECONDS)
                change = await self._load_and_apply()
            except NotRunningError as error:
                raise ReloadError(str(error)) from None
            except (SettingsErrors, EnginesError, ReloadError) as error:
                self._fail(str(error))
            except TimeoutError:
                self._fail(f"its files could not be read within {READ_SECONDS:g} s")
            except Exception:
                logger.exception("configuration not %s", self._verb)
                self._fail("internal error of the exporter, see its log")
            logger.info("configuration %s: %s", self._verb, change)
            self._service.reload_status.succeed()
            self._logged_problem = ""
        return change

    @property
    def _verb(self) -> str:
        return "loaded" if self._service.reload_status.succeeded_at is None else "reloaded"

    async def _load_and_apply(self) -> str:
        try:
            # First, so that a new certificate is served even if the settings are invalid.
            has_new_policy = await self._service.web_policy.reload()
            settings, databases = await self._calls.run("loading", self._load, READ_SECONDS)
            unchanged = self._describe_unchanged(settings)
            changes = ["web configuration"] if has_new_policy else []
            changes += await self._service.apply(settings, databases)
        except (SettingsErrors, EnginesError) as error:
            if self._service.state is not State.WAITING:
                raise
            lines = [*str(error).splitlines(), *(await self._apply_valid_parts()).splitlines()]
            raise ReloadError("\n".join(dict.fromkeys(lines))) from None
        return "; ".join(changes) or unchanged

    async def _apply_valid_parts(self) -> str:
        """Until a configuration has loaded once, apply the parts that are valid.

        Returns the problems outside the databases.
        """
        try:
            settings = await self._calls.run(
                "loading without databases", self._source.load_without_databases, READ_SECONDS
            )
            await self._service.apply_without_databases(settings)
        except SettingsErrors as errors:
            return str(errors)
        return ""

    def _load(self) -> tuple[Settings, dict[str, Database]]:
        settings = self._source.load()
        return settings, self._service.databases.prepare(settings.databases)

    def _poll(self) -> bool:
        return self._watcher.poll(
            [*self._source.list_files(), *self._service.web_policy.list_files()]
        )

    def _describe_unchanged(self, settings: Settings) -> str:
        if self._service.state is State.WAITING:
            return "no databases"
        is_same = settings == self._service.settings
        return "nothing changed" if is_same else "its databases are the same"

    def _fail(self, problem: str) -> NoReturn:
        """Log a problem, once while it stays the same, and raise it."""
        self._service.reload_status.fail()
        if problem != self._logged_problem:
            for line in problem.splitlines():
                logger.error("configuration not %s: %s", self._verb, line)
        self._logged_problem = problem
        raise ReloadError(problem) from None

    async def _watch(self) -> None:
        """Reload after each change and each failure until cancelled; log a failing watch once."""
        is_failing = False
        while True:
            try:
                await self._reload_if_due()
                is_failing = False
            except Exception:  # no memory for a thread, for example
                if not is_failing:
                    logger.exception("files cannot be watched")
                is_failing = True
            await asyncio.sleep(self._poll_seconds)

    async def _reload_if_due(self) -> None:
        has_changed = await self._calls.run("polling", self._poll, None)
        is_due = has_changed or not self._service.reload_status.is_successful
        if is_due and self._service.is_running:
            with suppress(ReloadError):
                await self._reload()

    def __repr__(self) -> str:
        outcome = "successful" if self._service.reload_status.is_successful else "failed"
        return f"<Reloader {outcome}>"


class FileWatcher:
    """Detects changed files by their content. Its methods block."""

    def __init__(self) -> None:
        self._fingerprints: dict[Path, str] = {}

    def add(self, files: Iterable[Path]) -> None:
        """Remember what these files hold now; call it before they are read for the first time."""
        self._fingerprints = {**read_fingerprints(files), **self._fingerprints}

    def poll(self, files: Iterable[Path]) -> bool:
        """Read the files; return whether one of them, or the list, differs from the last time."""
        before, self._fingerprints = self._fingerprints, read_fingerprints(files)
        return before != self._fingerprints

    def __repr__(self) -> str:
        return f"<FileWatcher {len(self._fingerprints)} files>"


def read_fingerprints(files: Iterable[Path]) -> dict[Path, str]:
    """Return a digest of each file, or why it cannot be read. Never raises."""
    return {file: read_fingerprint(file) for file in files}


def read_fingerprint(file: Path) -> str:
    """Return the digest of a regular file, a constant for anything else."""
    try:
        with open(file, "rb", opener=open_without_blocking) as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                return "no regular file"
            return hashlib.sha256(source.read(MAX_BYTES) or b"").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: the path has a zero byte
        return f"{type(error).__name__} {getattr(error, 'errno', '')}"
