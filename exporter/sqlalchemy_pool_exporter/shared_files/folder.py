"""The folder that the application's processes share, read at each scrape and only read.

It must not know labels or families; what changes about the folder is logged here, once.
"""

import logging
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter.shared_files.process_file import (
    NO_FOLDER,
    UNREADABLE_FOLDER,
    AppReading,
    FileReading,
    FileState,
    MergedFile,
    ProcessPools,
    read_file,
)
from sqlalchemy_pool_metrics.file_reader import RETIRED, SUFFIX

logger = logging.getLogger("sqlalchemy_pool_exporter.shared_files")

MAX_SHOWN: Final = 120


class SharedFolder:
    """Reads all pools of an application. Blocks for a file's time, about 20 µs each."""

    def __init__(self, path: Path | None) -> None:
        """Takes the folder; None for an application that shares none."""
        self.path = path
        self._problem = ""
        self._has_problems = False

    def read(self) -> AppReading:
        """Returns what the files say now; one unreadable for a folder that is. Never raises."""
        if self.path is None:
            return NO_FOLDER
        scan = FolderScan(self.path)
        try:
            reading = scan.read()
        except (OSError, ValueError) as error:  # of a path with a zero byte
            self._note_folder(getattr(error, "strerror", None) or str(error))
            return replace(UNREADABLE_FOLDER, problem=self._problem)
        self._note_folder("")
        self._note_files(scan.problems)
        return reading

    def _note_folder(self, problem: str) -> None:
        if problem != self._problem:
            extra = {"dir": str(self.path)}
            if problem:
                extra["problem"] = problem
                logger.warning("the application's folder cannot be read", extra=extra)
            else:
                logger.info("the application's folder can be read again", extra=extra)
        self._problem = problem

    def _note_files(self, problems: dict[str, str]) -> None:
        """Says once that there are unreadable files, and once that there are none any more."""
        extra: dict[str, object] = {"dir": str(self.path)}
        if problems and not self._has_problems:
            name, problem = next(iter(problems.items()))
            extra |= {"files": len(problems), "first": clean(name), "problem": clean(problem)}
            logger.warning("files in the application's folder cannot be read", extra=extra)
        elif self._has_problems and not problems:
            message = "no file in the application's folder is unreadable any more"
            logger.info(message, extra=extra)
        self._has_problems = bool(problems)

    def __repr__(self) -> str:
        return f"<SharedFolder {self.path}>"


def clean(text: str) -> str:
    """Returns a text of unknown origin as short, printable ASCII."""
    return text.encode("unicode_escape").decode()[:MAX_SHOWN]


# Beyond these a folder is not an application's any more; what is beyond counts as unreadable.
# The pages are 64 MiB: files made to be slow to read, or to be refused in the end, cost no more.
MAX_ENTRIES: Final = 65_536
MAX_FILES: Final = 4096
MAX_POOLS: Final = 8192
MAX_PAGES: Final = 16_384
MAX_TRIES: Final = 100

BEYOND: Final = FileReading(FileState.UNREADABLE, problem="more than are read at a time")
ALIEN: Final = FileReading(FileState.UNREADABLE, problem="no process names its file so")
_NAME = re.compile(rf"[^.].*-([0-9a-f]{{12}}){re.escape(SUFFIX)}", re.DOTALL)

# Names of files with the ids in them; None: a name that no process gives a file.
Identities = Mapping[str, int | None]


class FolderScan:
    """Reads each file once, and `retired` until it stays the same meanwhile.

    A process counts where its file is, unless `retired` names it. A file that vanishes was merged,
    so there is another `retired` then; each further try is short, because what was read stays.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, FileReading] = {}
        self._pools_left = MAX_POOLS
        self._pages_left = MAX_PAGES
        self.problems: dict[str, str] = {}

    def read(self) -> AppReading:
        """Returns what all files said together. Raises OSError when the folder cannot be listed."""
        for _ in range(MAX_TRIES):
            with MergedFile(self._folder / RETIRED) as retired:
                identities = list_identities(self._folder)
                self._read_files(identities, retired.merged_ids)
                if retired.is_current():
                    break
        return self._build_reading(identities, retired)

    def _read_files(self, identities: Identities, merged_ids: frozenset[int]) -> None:
        for name, identity in identities.items():
            if name not in self._files and identity not in merged_ids:
                # One that is gone was merged after `retired` was read, or removed by hand.
                with suppress(FileNotFoundError):
                    self._files[name] = self._read_file(name, identity)

    def _read_file(self, name: str, identity: int | None) -> FileReading:
        if identity is None:
            return ALIEN
        if len(self._files) >= MAX_FILES or not self._pools_left or self._pages_left <= 0:
            return BEYOND
        reading = read_file(f"{self._folder}/{name}", identity)
        self._pages_left -= reading.pages
        if len(reading.pools) > self._pools_left:
            return BEYOND
        self._pools_left -= len(reading.pools)
        return reading

    def _build_reading(self, identities: Identities, retired: MergedFile) -> AppReading:
        processes, states = [ProcessPools("", retired.pools)], []
        if retired.problem:
            states.append(FileState.UNREADABLE)
            self.problems[RETIRED] = retired.problem
        for name, identity in identities.items():
            file = self._files.get(name)
            if file is None or identity in retired.merged_ids:
                continue
            states.append(file.state)
            if file.problem:
                self.problems[name] = file.problem
            else:
                processes.append(ProcessPools(f"{file.pid}-{identity:012x}", file.pools))
        return AppReading(processes, {state: states.count(state) for state in FileState})


def list_identities(folder: Path) -> dict[str, int | None]:
    """Returns the names of processes' files, always in the same order. Raises OSError."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, MAX_ENTRIES))
    return {name: read_identity(name) for name in names if name.endswith(SUFFIX) and name[0] != "."}


def read_identity(name: str) -> int | None:
    """Returns the id in a file's name; None for a name that no process gives a file."""
    match = _NAME.fullmatch(name)
    return int(match[1], 16) if match else None
