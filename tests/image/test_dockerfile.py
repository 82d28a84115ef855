"""The Dockerfile, without a build: pinned versions and complete dependencies."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def read_project(folder: str) -> dict[str, object]:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    assert isinstance(project, dict)
    return project


def list_requirements(*options: str) -> list[str]:
    command = [sys.executable, "deploy/image/requirements.py", *options, "agent", "exporter"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_the_only_base_is_pinned_to_a_date() -> None:
    assert re.search(r"^ARG DEBIAN_IMAGE=\S+/debian:\w+-20\d{6}-slim$", DOCKERFILE, re.MULTILINE)
    bases = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", DOCKERFILE, re.MULTILINE)
    stages = [stage for _, stage in bases if stage]
    assert {base for base, _ in bases} - set(stages) == {"${DEBIAN_IMAGE}"}


def test_the_dockerfile_names_no_architecture() -> None:
    assert not re.search(r"amd64|x86|arm64|aarch64|platform", strip_comments(DOCKERFILE), re.I)


def strip_comments(text: str) -> str:
    return re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)


def test_the_image_has_the_version_of_the_distributions() -> None:
    version = read_project("exporter")["version"]
    assert f"\nARG VERSION={version}\n" in DOCKERFILE
    assert f"# docker build -t sqlalchemy-pool-exporter:{version} ." in DOCKERFILE


def test_the_layer_of_dependencies_has_those_of_both_distributions() -> None:
    agent, exporter = read_project("agent"), read_project("exporter")
    wanted = [agent["dependencies"], exporter["dependencies"]]
    wanted += [agent["optional-dependencies"]["prometheus"]]  # type: ignore[index]
    wanted += [exporter["optional-dependencies"][name] for name in ("isal", "mysql", "psycopg")]  # type: ignore[index]
    lines = {line for lines in wanted for line in lines}  # type: ignore[attr-defined]
    ours = {line for line in lines if line.startswith("sqlalchemy-pool-metrics")}
    assert list_requirements() == sorted(lines - ours)
    assert list_requirements("--build") == ["setuptools>=77"]


def test_the_build_context_has_only_files_that_are_copied() -> None:
    first, *allowed = strip_comments((ROOT / ".dockerignore").read_text()).split()
    assert first == "*"
    copied = [
        name
        for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in names.split()
    ]
    entries = [line.removeprefix("!") for line in allowed if line.startswith("!")]
    assert [entry for entry in entries if not any(map(partial(overlap, entry), copied))] == []
    assert [name for name in copied if not any(map(partial(overlap, name), entries))] == []


def overlap(one: str, other: str) -> bool:
    """Return whether one of two paths contains the other."""
    return Path(one).is_relative_to(other) or Path(other).is_relative_to(one)
