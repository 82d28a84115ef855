"""Steady workers, also in their own namespaces, as in containers."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from tests.servers.programs import find_program

PROGRAM = [sys.executable, "-m", "tests.faults.steady_worker"]
ROOT = Path(__file__).parents[2]


class SteadyWorker:
    """A process that obeys commands; `prefix` is a command that runs it."""

    def __init__(
        self, folder: Path | str | None, prefix: Sequence[str] = (), uid: int | None = None
    ) -> None:
        kept = {name: value for name, value in os.environ.items() if "POOL_METRICS" not in name}
        if folder is not None:
            kept["SQLALCHEMY_POOL_METRICS_DIR"] = str(folder)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [*prefix, *PROGRAM, *([str(uid)] if uid is not None else [])],
            cwd=ROOT,
            env={**kept, "SQLALCHEMY_POOL_METRICS_APP": "shop"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def send(self, command: str) -> Any:
        """Send a command and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.read_log()
        return json.loads(answer)

    def start(self) -> Self:
        """Let it record its engine."""
        self.send("instrument")
        return self

    def read_log(self) -> list[str]:
        self._log.seek(0)
        return self._log.read().splitlines()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()


def build_container(*mounts: str) -> list[str]:
    """Return a command that runs another one in its own process and mount namespaces; root only.

    `mounts` are shell commands that run first. Skips the test where this is not possible.
    """
    unshare = find_program("unshare", "util-linux")
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    script = " && ".join([*mounts, 'exec "$@"'])
    return [unshare, "-mpf", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"]
