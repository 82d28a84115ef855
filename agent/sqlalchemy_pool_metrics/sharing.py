"""Whether this process shares its numbers, and the file that it shares them through.

It decides what becomes of the file: made at the first event, looked after once in a while, given up
when that fails, which the application does not notice, and tried again a minute later.
"""

from __future__ import annotations

import enum
import errno
import logging
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy

from .description import application
from .files import ProcessFile
from .guard import log_fault
from .retirement import fold_dead

__all__ = ["Change", "Sharing"]

FOLDER_VARIABLE = "SQLALCHEMY_POOL_METRICS_DIR"
RETRY_SECONDS = 60.0
MAX_FILES_MADE_ANEW = 100
"""A mapping cannot be given back, see `files`: who removes files all the time gets no more."""
NOT_SHARED = "this process does not share its pools' metrics: cannot make a file in %s=%s: %s"
GIVEN_UP = "this process shares no more: its file in %s was removed %d times"
NOT_FOLDED = (
    "files of dead processes are left in %s until one starts that may add them up (all numbers are "
    "right; the processes of several users need a folder that all may write in, with mode 0777 or "
    "a common group, and without the sticky bit): %s"
)

_logger = logging.getLogger("sqlalchemy_pool_metrics")


class Change(enum.Enum):
    """What became of the file, and so what is to be done with the rows that were taken from it."""

    NONE = enum.auto()
    MOVED = enum.auto()
    """There is a new file: the rows are to go on there."""
    FOLDED = enum.auto()
    """As well, but from zero: without its lock the file is a dead process's, to be folded."""


class Sharing:
    """The file of one process, or nothing; for one thread at a time. Its methods never raise."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called when `look_after` is to be."""
        self._wake = wake
        self._file: ProcessFile | None = None
        self._folder: Path | None = None
        self._is_decided = False
        self._retry_at = 0.0
        self._files_left = MAX_FILES_MADE_ANEW
        self._told: set[str] = set()

    @property
    def file(self) -> ProcessFile | None:
        """The file; None when there is none."""
        return self._file

    def look_after(self) -> Change:
        """Make the file if there is to be one, or see to it that it is still there."""
        if not self._is_decided:
            self._is_decided = True
            named = os.environ.get(FOLDER_VARIABLE)
            self._folder = Path(named).absolute() if named else None
        if self._folder is None:
            return Change.NONE
        if self._file is None:
            return self._open(self._folder) if time.monotonic() >= self._retry_at else Change.NONE
        if not self._file.is_due:
            return Change.NONE
        self._file.is_due = False
        return self._check(self._file, self._folder)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file."""
        if self._file is not None:
            self._file.close()

    def tell(self, message: str, *values: object) -> None:
        """Log a warning, once."""
        if message not in self._told:
            self._told.add(message)
            _logger.warning(message, *values)

    def _open(self, folder: Path) -> Change:
        try:
            self._file = self._create(folder)
        except (OSError, ValueError) as fault:
            self._file = None
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self.tell(NOT_SHARED, FOLDER_VARIABLE, folder, fault)
            return Change.NONE
        self._fold(folder)
        return Change.MOVED

    def _create(self, folder: Path) -> ProcessFile:
        try:
            return ProcessFile.create(folder, application(), _notes(), self._wake)
        except OSError as fault:
            if fault.errno != errno.ENOSPC:
                raise
        self._fold(folder)  # the dead take more room than what they counted
        return ProcessFile.create(folder, application(), _notes(), self._wake)

    def _fold(self, folder: Path) -> None:
        try:
            fold_dead(folder)
        except OSError as fault:
            self.tell(NOT_FOLDED, folder, fault)
        except Exception as fault:
            log_fault("folding the files of dead processes", fault)

    def _check(self, file: ProcessFile, folder: Path) -> Change:
        """Somebody may have removed the folder, or have closed all descriptors of this process."""
        is_locked = file.is_locked()
        if is_locked and file.is_linked():
            return Change.NONE
        if self._files_left:
            self._files_left -= 1
            change = self._open(folder)
            file.close()
        else:
            file.close()
            change, self._file, self._retry_at = Change.NONE, None, math.inf
            self.tell(GIVEN_UP, folder, MAX_FILES_MADE_ANEW)
        return change if is_locked or change is Change.NONE else Change.FOLDED


def _notes() -> dict[str, str]:
    return {"python": platform.python_version(), "sqlalchemy": sqlalchemy.__version__}
