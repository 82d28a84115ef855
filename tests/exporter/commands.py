"""The exporter as a process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers.conditions import wait_until

COMMAND = [sys.executable, "-m", "sqlalchemy_pool_exporter"]
PATIENCE = 60.0


def build_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with these settings and no others: PRIMARY__URL for a key."""
    kept = {name: value for name, value in os.environ.items() if "POOL_EXPORTER" not in name}
    return kept | {f"POOL_EXPORTER_{name}": value for name, value in settings.items()}


def configure(database: str, **keys: str) -> dict[str, str]:
    """Settings of one database: PROBE__TIMEOUT for a key of its probe."""
    return {f"DATABASES__{database.upper()}__{key}": value for key, value in keys.items()}


def run_command(
    *arguments: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=build_environment(settings or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class RunningExporter:
    """A process that serves at `address` and writes its standard error to `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        found = re.search(r"127\.0\.0\.1:(\d+)", self.log.read_text())
        assert found, self.log.read_text()
        return "127.0.0.1", int(found[1])

    def open_client(self) -> httpx.Client:
        host, port = self.address
        return httpx.Client(base_url=f"http://{host}:{port}", timeout=PATIENCE)

    def wait_for_log(self, text: str) -> None:
        """Fails with the log when the process ends instead."""

        def is_logged() -> bool:
            has_ended, log = self.process.poll() is not None, self.log.read_text()
            assert text in log or not has_ended, log
            return text in log

        wait_until(is_logged, f"{text!r} in the log", PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def run_exporter(
    log: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[RunningExporter]:
    """Yields an exporter that serves on a free port, and ends it if the test has not.

    `prefix` is a command that becomes the exporter.
    """
    command = [*prefix, *COMMAND, *arguments, "--listen", "127.0.0.1:0"]
    environment = build_environment(settings or {})
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, env=environment, stderr=stderr) as process,
    ):
        exporter = RunningExporter(process, log)
        try:
            exporter.wait_for_log("serving")
            yield exporter
        finally:
            process.kill()
