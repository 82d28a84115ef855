"""The contents of the image."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.image.podman import inspect, podman, run_once

ROOT = Path(__file__).parents[2]
AGENT = "/opt/sqlalchemy-pool-metrics/agent"


def test_the_image_runs_the_exporter_as_an_unprivileged_user(image: str) -> None:
    settings = inspect(image)["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["sqlalchemy-pool-exporter"]
    assert "Cmd" not in settings
    assert list(settings["ExposedPorts"]) == ["9723/tcp"]
    assert settings["StopSignal"] == "SIGTERM"


def test_labels_describe_the_image(image: str) -> None:
    project = tomllib.loads((ROOT / "exporter" / "pyproject.toml").read_text())["project"]
    prefix = "org.opencontainers.image."
    labels = {
        name.removeprefix(prefix): value
        for name, value in inspect(image)["Config"]["Labels"].items()
        if name.startswith(prefix)
    }
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels.pop("created"))
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels.pop("revision"))
    assert labels == {
        "title": project["name"],
        "description": project["description"],
        "licenses": project["license"],
        "version": project["version"],
    }


def test_the_program_has_the_version_of_the_label(image: str) -> None:
    version = inspect(image)["Config"]["Labels"]["org.opencontainers.image.version"]
    assert run_once(image, "sqlalchemy-pool-exporter", "--version").stdout.split()[-1] == version


@pytest.mark.parametrize("module", ["pip", "setuptools", "ensurepip", "pytest"])
def test_build_tools_are_not_in_the_image(image: str, module: str) -> None:
    completed = run_once(image, "python", "-c", f"import {module}", check=False)
    assert f"No module named '{module}'" in completed.stderr


def test_there_is_no_compiler_and_no_package_list(image: str) -> None:
    script = "command -v cc gcc g++ c++ ld make pip pip3 curl; ls -A /var/lib/apt/lists /var/cache"
    assert run_once(image, "sh", "-c", script, check=False).stdout.split() == [
        "/var/cache:",
        "/var/lib/apt/lists:",
    ]


def test_there_are_no_set_uid_programs(image: str) -> None:
    # As root, who sees every folder.
    command = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
    completed = podman(
        "run", "--rm", "--network=none", "--user=0", "--entrypoint=env", image, *command
    )
    assert completed.stdout == ""


def test_the_user_cannot_write_to_the_installation(image: str) -> None:
    command = ["find", "/opt", "/usr", "/etc", "(", "-writable", "-o", "-user", "10001", ")"]
    completed = podman(
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=env",
        image,
        *command,
        "!",
        "-type",
        "l",
        check=False,
    )
    assert completed.stdout == ""


def test_all_modules_are_compiled(image: str) -> None:
    script = (
        "import os, sys, sqlalchemy_pool_exporter.cli, asyncpg, psycopg, pymysql\n"
        "for name, module in sys.modules.items():\n"
        "    cached = getattr(module, '__cached__', None)\n"
        "    if str(getattr(module, '__file__', '')).endswith('.py') and cached:\n"
        "        os.path.exists(cached) or print(name)\n"
    )
    assert run_once(image, "python", "-c", script).stdout.split() == []


def test_the_agent_to_inject_is_the_one_of_this_checkout(image: str, tmp_path: Path) -> None:
    export = [sys.executable, "-m", "sqlalchemy_pool_metrics", "export", str(tmp_path / "agent")]
    subprocess.run(export, check=True, capture_output=True)
    copy_out(image, AGENT, tmp_path / "carried")
    exported, carried = read_folder(tmp_path / "agent"), read_folder(tmp_path / "carried")
    assert carried == exported
    assert "sitecustomize.py" in exported


def copy_out(image: str, path: str, target: Path) -> None:
    container = podman("create", "--network=none", image).stdout.strip()
    try:
        podman("cp", f"{container}:{path}", str(target))
    finally:
        podman("rm", container)


def read_folder(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of every file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
