"""The folder that the application's processes share. Each scrape reads it and changes nothing."""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from sqlalchemy_pool_exporter.redaction import escape_unprintable
from sqlalchemy_pool_exporter.shared_files.process_file import (
    FileReading,
    FileState,
    MergedFile,
    read_file,
)
from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.file_reader import RETIRED, SUFFIX
from sqlalchemy_pool_metrics.slot_reader import DEFAULT_OVERDUE_NS

logger = logging.getLogger("sqlalchemy_pool_exporter.shared_files")

# How much of a folder is read; files beyond that count as unreadable. The pages are 64 MiB and
# include those of rejected files: malicious files cost no more.
MAX_ENTRIES: Final = 65_536
MAX_FILES: Final = 4096
MAX_POOLS: Final = 8192
MAX_PAGES: Final = 16_384
MAX_TRIES: Final = 100
MAX_SHOWN: Final = 120
# How long a folder may have no file at all before that is logged. A process appears at its first
# query, and an application may take minutes to start.
EMPTY_SECONDS: Final = 900.0

BEYOND_LIMITS: Final = FileReading(
    FileState.UNREADABLE, problem="the folder holds more than one scrape reads"
)
WRONG_NAME: Final = FileReading(FileState.UNREADABLE, problem="not the name of a process's file")
_NAME: Final = re.compile(rf"[^.].*-([0-9a-f]{{12}}){re.escape(SUFFIX)}", re.DOTALL)

# The id in each file's name; None if no process names its file like that.
Identities: TypeAlias = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class ProcessPools:
    """The pools of one process, which is named by its PID and its file's id: 4711-0123456789ab.

    A dead process has only counters (`processes` 0). The empty name stands for all processes whose
    files are gone.
    """

    process: str
    pools: Sequence[Snapshot]


@dataclass(frozen=True, slots=True)
class AppReading:
    """The result of reading the folder.

    Attributes:
        processes: The processes with their pools.
        files: The number of files by state; empty if no folder is configured.
        problem: Why the folder cannot be read.
        pools_not_shown: How many pools of live processes have no place in their files.
    """

    processes: Sequence[ProcessPools]
    files: Mapping[FileState, int]
    problem: str = ""
    pools_not_shown: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether no process has ever written to the folder."""
        has_pools = any(process.pools for process in self.processes)
        return not (has_pools or any(self.files.values()))


class SharedFolder:
    """Reads all pools of an application, in about 20 µs per file.

    Attributes:
        path: The folder.
        leak_threshold: After how many seconds a connection that is out is overdue.
    """

    def __init__(
        self, path: Path | None, *, read_clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the folder, None for an application that shares none."""
        self.path = path
        self.leak_threshold = DEFAULT_OVERDUE_NS / 1e9
        self._problem = ""
        self._has_unreadable_files = False
        self._last_alive: dict[int, int] = {}
        self._read_clock = read_clock
        self._expected_since: float | None = read_clock()
        self._misses_processes = False

    def read(self) -> AppReading:
        """Read the files. Never raises; blocks.

        A folder that cannot be read counts as one unreadable file.
        """
        if self.path is None:
            return AppReading((), {})
        scan = FolderScan(self.path, self._last_alive, round(self.leak_threshold * 1e9))
        try:
            reading = scan.read()
        except (OSError, ValueError) as error:  # ValueError: the path has a zero byte
            self._log_folder(getattr(error, "strerror", None) or str(error))
            files = dict.fromkeys(FileState, 0) | {FileState.UNREADABLE: 1}
            return AppReading((), files, self._problem)
        self._log_folder("")
        self._log_files(scan.problems)
        self._log_emptiness(reading.is_empty)
        return reading

    def _log_folder(self, problem: str) -> None:
        if problem != self._problem:
            extra = {"dir": str(self.path)}
            if problem:
                extra["problem"] = problem
                logger.warning("the application's folder cannot be read", extra=extra)
            else:
                logger.info("the application's folder can be read again", extra=extra)
        self._problem = problem

    def _log_files(self, problems: Mapping[str, str]) -> None:
        """Log once that there are unreadable files, and once that all can be read again."""
        extra: dict[str, object] = {"dir": str(self.path)}
        if problems and not self._has_unreadable_files:
            name, problem = next(iter(problems.items()))
            extra |= {"files": len(problems), "first": shorten(name), "problem": shorten(problem)}
            logger.warning("files in the application's folder cannot be read", extra=extra)
        elif self._has_unreadable_files and not problems:
            logger.info("all files in the application's folder can be read again", extra=extra)
        self._has_unreadable_files = bool(problems)

    def _log_emptiness(self, is_empty: bool) -> None:
        """Log once that an expected process has not come, and once that the first one has."""
        if self._expected_since is None:
            return
        extra = {"dir": str(self.path)}
        if not is_empty:
            if self._misses_processes:
                logger.info("a process of the application records its pools", extra=extra)
            self._expected_since, self._misses_processes = None, False
        elif self._read_clock() - self._expected_since >= EMPTY_SECONDS:
            if not self._misses_processes:
                message = "no process of the application has recorded a pool"
                logger.warning(message, extra={**extra, "see": "docs/application.md"})
            self._misses_processes = True

    def __repr__(self) -> str:
        return f"<SharedFolder {self.path}>"


def shorten(text: str) -> str:
    """Return an untrusted text, short and printable."""
    return escape_unprintable(text)[:MAX_SHOWN]


class FolderScan:
    """One read of a folder while processes start, die and are merged.

    Processes of the application merge the files of dead ones into `retired`: they replace it, then
    delete the files. So each process is counted from its own file, unless `retired` names it.
    """

    def __init__(
        self,
        folder: Path,
        last_alive: dict[int, int] | None = None,
        overdue_ns: int = DEFAULT_OVERDUE_NS,
    ) -> None:
        """Take the folder, and what else `read_file` takes."""
        self.problems: dict[str, str] = {}
        self._folder = folder
        self._last_alive = {} if last_alive is None else last_alive
        self._overdue_ns = overdue_ns
        self._files: dict[str, FileReading] = {}
        self._pools_left = MAX_POOLS
        self._pages_left = MAX_PAGES

    def read(self) -> AppReading:
        """Read all files together. Raises OSError if the folder cannot be listed."""
        for _ in range(MAX_TRIES):
            # In this order: a file that vanishes after `retired` was read has been merged into a
            # newer one. Then try again; what was read stays, so that each further try is short.
            with MergedFile(self._folder / RETIRED) as retired:
                identities = list_identities(self._folder)
                self._read_files(identities, retired.merged_ids)
                if retired.is_current():
                    break
        for identity in self._last_alive.keys() - identities.values():
            self._last_alive.pop(identity, None)  # another thread may have done it
        return self._build_reading(identities, retired)

    def _read_files(self, identities: Identities, merged_ids: frozenset[int]) -> None:
        for name, identity in identities.items():
            if name not in self._files and identity not in merged_ids:
                # One that is gone was merged after `retired` was read, or deleted by hand.
                with suppress(FileNotFoundError):
                    self._files[name] = self._read_file(name, identity)

    def _read_file(self, name: str, identity: int | None) -> FileReading:
        if identity is None:
            return WRONG_NAME
        if len(self._files) >= MAX_FILES or not self._pools_left or self._pages_left <= 0:
            return BEYOND_LIMITS
        path = f"{self._folder}/{name}"
        reading = read_file(path, identity, self._last_alive, self._overdue_ns)
        self._pages_left -= reading.pages
        if len(reading.pools) > self._pools_left:
            return BEYOND_LIMITS
        self._pools_left -= len(reading.pools)
        return reading

    def _build_reading(self, identities: Identities, retired: MergedFile) -> AppReading:
        processes, states, left_out = [ProcessPools("", retired.pools)], [], 0
        if retired.problem:
            states.append(FileState.UNREADABLE)
            self.problems[RETIRED] = retired.problem
        for name, identity in identities.items():
            file = self._files.get(name)
            # A file that was read can have been merged since then: `retired` counts it.
            if file is None or identity in retired.merged_ids:
                continue
            states.append(file.state)
            left_out += file.left_out
            if file.problem:
                self.problems[name] = file.problem
            else:
                processes.append(ProcessPools(f"{file.pid}-{identity:012x}", file.pools))
        files = {state: states.count(state) for state in FileState}
        return AppReading(processes, files, pools_not_shown=left_out)


def list_identities(folder: Path) -> dict[str, int | None]:
    """Return the files of processes, sorted by name. Raises OSError."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, MAX_ENTRIES))
    return {name: read_identity(name) for name in names if name.endswith(SUFFIX) and name[0] != "."}


def read_identity(name: str) -> int | None:
    """Return the id in a file's name, None if no process names its file like that."""
    match = _NAME.fullmatch(name)
    return int(match[1], 16) if match else None
