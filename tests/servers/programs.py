"""Programs of the operating system that tests start: found, run in the foreground, ended."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.servers.conditions import wait_until

# Servers live in sbin, which is not on everybody's PATH.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
STOP_SECONDS = 15.0


def find_program(name: str, package: str) -> str:
    """Path of the program. Without it the test is skipped, but where CI is set it fails."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is not None:
        return found
    reason = f"{name} is not installed (Debian: apt-get install {package})"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and nothing is skipped where CI is set", pytrace=False)
    pytest.skip(reason)


class Program:
    """A running program with its output in a file; the `with` block ends it by its process id.

    In the block it may be stopped and started again.
    """

    def __init__(self, command: list[str], log_path: Path, **options: Any) -> None:
        self.log_path = log_path
        self._command = command
        self._options = options
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Starts it; not while it runs."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._options,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_until_ready(self, is_ready: Callable[[], bool]) -> None:
        """Raises RuntimeError with the end of the log when the program ended instead."""

        def check_ready() -> bool:
            if self._process.poll() is not None:
                log = self.log_path.read_text(errors="replace")
                raise RuntimeError(f"{self._process.args!r} ended: {log[-2000:]}")
            return is_ready()

        wait_until(check_ready, f"{self._process.args!r} to be ready")
