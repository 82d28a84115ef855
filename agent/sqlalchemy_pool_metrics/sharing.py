"""Decide whether this process shares its numbers, and keep the file that it shares them through.

The file is created at the first event and checked every few seconds. A failure never reaches the
application; a minute later the next attempt follows.
"""

from __future__ import annotations

import enum
import errno
import logging
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path

import sqlalchemy

from .clock import monotonic_ns
from .dead_files import merge_dead_files
from .description import application
from .faults import log_fault
from .process_file import FOLDER_VARIABLE, ProcessFile

__all__ = ["FOLDER_VARIABLE", "FileChange", "Sharing"]

RETRY_SECONDS = 60.0
MAX_REPLACED_FILES = 100
"""Mappings are never closed, see `process_file`: a file that is removed again and again must not be
replaced forever."""
RECORDED = "the SQLAlchemy pools of %r are recorded in %s"
NOT_SHARED = "this process does not share its pools' metrics: cannot create a file in %s=%s: %s"
GIVEN_UP = "this process no longer shares its pools' metrics: its file in %s was removed %d times"
NOT_MERGED = (
    "cannot merge the files of ended processes in %s; they stay until a process that may merge "
    "them starts, and all numbers are right meanwhile (for processes of several users the folder "
    "needs mode 0777 or a common group, and no sticky bit): %s"
)

_logger = logging.getLogger("sqlalchemy_pool_metrics")


class FileChange(enum.Enum):
    """What happened to the file, and so to the blocks that were taken from it."""

    NONE = enum.auto()
    MOVED = enum.auto()
    """There is a new file: the pools continue there."""
    RESTARTED = enum.auto()
    """There is a new file: the pools continue there from zero. The old one had lost its lock, so
    that another process takes it for a dead process's file and merges its counters."""


class Sharing:
    """The file of one process, if there is one; for one thread at a time. No method raises."""

    def __init__(self, request_maintenance: Callable[[], None]) -> None:
        """Build it; `request_maintenance` is called when `check` is due."""
        self._request_maintenance = request_maintenance
        self._file: ProcessFile | None = None
        self._folder: Path | None = None
        self._is_decided = False
        self._retry_at = 0.0
        self._files_left = MAX_REPLACED_FILES
        self._warnings: set[str] = set()

    @property
    def file(self) -> ProcessFile | None:
        """The current file; None when there is none."""
        return self._file

    def check(self) -> FileChange:
        """Create the file if the application shares its numbers, or check that it still exists."""
        if not self._is_decided:
            self._is_decided = True
            named = os.environ.get(FOLDER_VARIABLE)
            self._folder = Path(named).absolute() if named else None
        if self._folder is None:
            return FileChange.NONE
        if self._file is None:
            is_time = monotonic_ns() >= self._retry_at
            return self._open(self._folder) if is_time else FileChange.NONE
        if not self._file.check_is_due:
            return FileChange.NONE
        self._file.check_is_due = False
        return self._check_file(self._file, self._folder)

    def abandon(self) -> None:
        """Let go of the parent's file in a forked child."""
        if self._file is not None:
            self._file.close()

    def warn_once(self, message: str, *values: object) -> None:
        """Log a warning, once per message."""
        if message not in self._warnings:
            self._warnings.add(message)
            _logger.warning(message, *values)

    def _open(self, folder: Path) -> FileChange:
        try:
            self._file = self._create(folder)
        except (OSError, ValueError) as fault:
            self._file = None
            self._retry_at = monotonic_ns() + RETRY_SECONDS * 1e9
            self.warn_once(NOT_SHARED, FOLDER_VARIABLE, folder, fault)
            return FileChange.NONE
        self._merge_dead_files(folder)
        _logger.info(RECORDED, application(), self._file.path)
        return FileChange.MOVED

    def _create(self, folder: Path) -> ProcessFile:
        notes = {"python": platform.python_version(), "sqlalchemy": sqlalchemy.__version__}
        try:
            return ProcessFile.create(folder, application(), notes, self._request_maintenance)
        except OSError as fault:
            if fault.errno != errno.ENOSPC:
                raise
        # The volume is full. Merging the dead processes' files frees most of their space.
        self._merge_dead_files(folder)
        return ProcessFile.create(folder, application(), notes, self._request_maintenance)

    def _merge_dead_files(self, folder: Path) -> None:
        try:
            merge_dead_files(folder)
        except OSError as fault:
            self.warn_once(NOT_MERGED, folder, fault)
        except Exception as fault:
            log_fault("merging the files of dead processes", fault)

    def _check_file(self, file: ProcessFile, folder: Path) -> FileChange:
        """Replace the file if its folder was removed or all descriptors were closed."""
        is_locked = file.is_locked()
        if is_locked and file.is_linked():
            return FileChange.NONE
        # Create the new file before dropping the old lock: no reader may see this process as dead.
        if self._files_left:
            self._files_left -= 1
            change = self._open(folder)
            file.close()
        else:
            file.close()
            change, self._file, self._retry_at = FileChange.NONE, None, math.inf
            self.warn_once(GIVEN_UP, folder, MAX_REPLACED_FILES)
        return change if is_locked or change is FileChange.NONE else FileChange.RESTARTED
