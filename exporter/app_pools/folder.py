"""The folder that the application's processes share, read at each scrape and only read.

It must not know labels or families; what changes about the folder is logged here, once.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

from exporter.app_pools.reading import NO_FOLDER, UNREADABLE_FOLDER, AppReading
from exporter.app_pools.scan import Scan

logger = logging.getLogger("exporter.app_pools")

MAX_SHOWN: Final = 120


class AppFolder:
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
        scan = Scan(self.path)
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
        return f"<AppFolder {self.path}>"


def clean(text: str) -> str:
    """Returns a text of unknown origin as short, printable ASCII."""
    return text.encode("unicode_escape").decode()[:MAX_SHOWN]
