"""The exporter serves without root, capabilities or writable paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.image.podman import Container, podman, run_container, run_once

# A folder that is not there: the least of a configuration.
SETTINGS = {"POOL_EXPORTER_APP__DIR": "/run/sqlalchemy-pool-metrics"}


@pytest.fixture(params=["10001", "65532"])
def container(image: str, request: pytest.FixtureRequest) -> Iterator[Container]:
    """A container run by the image's own user, and by one that the image does not know."""
    uid = request.param
    options = [] if uid == "10001" else [f"--user={uid}:{uid}", "--passwd=false", "--unsetenv=HOME"]
    with run_container(image, options=options, environment=SETTINGS) as running:
        status = read_status(running.pid)
        assert status["Uid"].split() == [uid] * 4
        yield running


def read_status(pid: int) -> dict[str, str]:
    """Return the kernel's status of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_the_exporter_serves_without_root_and_capabilities(container: Container) -> None:
    status = read_status(container.pid)
    assert {status[key] for key in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert container.get("/-/healthy").status_code == 200
    assert "sqlalchemy_pool_exporter_" in container.get("/metrics").text


def test_the_exporter_has_no_writable_path(container: Container) -> None:
    script = "for each in / /tmp /var/tmp /run /opt; do touch $each/file && echo $each; done"
    assert podman("exec", container.name, "sh", "-c", script, check=False).stdout == ""


def test_the_exporter_stops_cleanly(container: Container) -> None:
    podman("stop", "--time=2", container.name)
    # 137 would be: killed, two seconds later.
    assert container.exit_status == 0
    assert "stopping" in container.read_log()


def test_the_health_check_passes_while_the_exporter_serves(image: str) -> None:
    assert run_own_check(image, SETTINGS) == 0


def test_the_health_check_fails_without_an_answer(image: str) -> None:
    elsewhere = {**SETTINGS, "POOL_EXPORTER_LISTEN": "127.0.0.1:9724"}
    assert run_own_check(image, elsewhere) == 1


def test_the_health_check_uses_no_proxy(image: str) -> None:
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    assert run_own_check(image, {**SETTINGS, **proxy}) == 0


def run_own_check(image: str, environment: Mapping[str, str]) -> int:
    """Return the status of the image's health check, in its own network: its port is fixed."""
    options = ["--health-interval=disable"]
    with run_container(image, options=options, environment=environment, network="none") as running:
        return podman("healthcheck", "run", running.name, check=False).returncode


def test_an_init_container_can_export_the_agent(image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    command = ["-m", "sqlalchemy_pool_metrics", "export", "/shared/agent"]
    options = ["--network=none", "--read-only", f"--volume={tmp_path}:/shared"]
    podman("run", "--rm", *options, "--entrypoint=python", image, *command)
    assert (tmp_path / "agent" / "sitecustomize.py").stat().st_uid == 10001


def test_a_missing_configuration_is_one_line(image: str) -> None:
    completed = run_once(image, "sqlalchemy-pool-exporter", check=False)
    assert completed.returncode == 1
    assert "databases: missing" in completed.stderr
