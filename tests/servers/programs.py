"""Programs of the operating system that tests start and end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pytest

from tests.servers.conditions import wait_until

# Servers are in sbin, which a user's PATH may lack.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
STOP_SECONDS = 15.0
# Programs of Prometheus 3, which .ci/run unpacks there: Debian 12 has 2.42.
PROMETHEUS_3 = Path(__file__).parents[2] / "build" / "prometheus" / "usr" / "bin"


def find_program(name: str, package: str) -> str:
    """Return the path of the program; without it the test is skipped, or fails if CI is set."""
    found = shutil.which(name, path=SEARCH_PATH)
    return found or _miss(f"{name} is not installed (Debian: apt-get install {package})")


def find_prometheus_3(name: str) -> str:
    """Return the path of a program of Prometheus 3, or skip the test as find_program() does."""
    found = shutil.which(name, path=PROMETHEUS_3)
    return found or _miss(f"{name} of Prometheus 3 is not in build/prometheus (see .ci/run)")


def _miss(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and nothing is skipped where CI is set", pytrace=False)
    pytest.skip(reason)


class Program:
    """A running program with its output in a file; the `with` block ends it.

    It can be stopped and started in the block.
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
        """Start the program, which must not be running."""
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

    def wait_until_ready(self, is_ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until it is ready; raises RuntimeError with the end of its log if it exits."""

        def check_ready() -> bool:
            if self._process.poll() is not None:
                log = self.log_path.read_text(errors="replace")
                raise RuntimeError(f"{self._process.args!r} ended: {log[-2000:]}")
            return is_ready()

        wait_until(check_ready, f"{self._process.args!r} to be ready", seconds)
