"""Containers as Kubernetes runs them under its restricted standard, with podman."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers.conditions import wait_until
from tests.servers.endpoints import find_free_port
from tests.servers.programs import find_program

PATIENCE = 60.0
CONFIGURATION = Path(__file__).with_name("containers.conf")
# Not even a /tmp.
RESTRICTED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman; a failure shows its error."""
    find_program("runc", "runc")
    completed = subprocess.run(
        [find_program("podman", "podman"), *arguments],
        env={**os.environ, "CONTAINERS_CONF": str(CONFIGURATION)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert completed.returncode == 0 or not check, completed.stdout + completed.stderr
    return completed


def inspect(name: str) -> dict[str, Any]:
    """Return podman's description of a container or an image."""
    (found,) = json.loads(podman("inspect", name).stdout)
    assert isinstance(found, dict)
    return found


def run_once(image: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in a new container without a network."""
    program, *rest = command
    options = [*RESTRICTED, "--network=none", "--no-healthcheck", f"--entrypoint={program}"]
    return podman("run", "--rm", *options, image, *rest, check=check)


@dataclass(frozen=True, slots=True)
class Container:
    """A running container; `port` is its port on this machine."""

    name: str
    port: int

    @property
    def pid(self) -> int:
        """The process id of its first process on this machine."""
        return int(inspect(self.name)["State"]["Pid"])

    @property
    def exit_status(self) -> int:
        return int(inspect(self.name)["State"]["ExitCode"])

    @property
    def is_running(self) -> bool:
        return bool(inspect(self.name)["State"]["Running"])

    def read_log(self) -> str:
        logs = podman("logs", self.name)
        return logs.stdout + logs.stderr

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE)

    def wait_until_serving(self) -> None:
        """Wait until it serves; fails with the log if it exits."""

        def is_serving() -> bool:
            log = self.read_log()
            assert "serving" in log or self.is_running, log
            return "serving" in log

        wait_until(is_serving, f"{self.name} to serve", PATIENCE)

    def wait_until_answering(self) -> None:
        """Wait until it answers, also after an earlier container did."""

        def is_answering() -> bool:
            with suppress(httpx.TransportError):
                return self.get("/-/healthy").is_success
            return False

        wait_until(is_answering, f"{self.name} to answer", PATIENCE)

    def wait_for_metric(self, line: str) -> None:
        """Wait until /metrics has the line; the error shows what it has."""

        def read_metrics() -> list[str]:
            return self.get("/metrics").text.splitlines()

        name = line.partition("{")[0]
        try:
            wait_until(lambda: line in read_metrics(), line, PATIENCE)
        except TimeoutError as error:
            error.add_note("\n".join(found for found in read_metrics() if found.startswith(name)))
            error.add_note(self.read_log())
            raise


@contextmanager
def run_container(
    image: str,
    *arguments: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    network: str = "host",
) -> Iterator[Container]:
    """Run an exporter on a free port of this machine, or on its default port."""
    container = Container(f"pool-exporter-test-{uuid.uuid4().hex[:8]}", find_free_port())
    settings = dict(environment or {})
    if network == "host":
        settings["POOL_EXPORTER_LISTEN"] = f"127.0.0.1:{container.port}"
    variables = [f"--env={name}={value}" for name, value in settings.items()]
    given = [f"--name={container.name}", f"--network={network}", *RESTRICTED, *options, *variables]
    if not any(option.startswith("--health") for option in options):
        # It would want systemd, to be asked for at intervals.
        given.append("--no-healthcheck")
    try:
        podman("run", "--detach", *given, image, *arguments)
        container.wait_until_serving()
        yield container
    finally:
        podman("rm", "--force", "--time=2", container.name, check=False)
