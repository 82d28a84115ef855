"""The distributions contain every package of the tree, and both have one version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter import describe_install
from sqlalchemy_pool_exporter.dialects.registry import DIALECTS

ROOT = Path(__file__).parents[1]
AGENT = ROOT / "agent" / "sqlalchemy_pool_metrics"
EXPORTER = ROOT / "exporter" / "sqlalchemy_pool_exporter"


def read_pyproject(folder: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())


# The agent's `injected` is a folder for PYTHONPATH and has no __init__.py.
@pytest.mark.parametrize(
    ("source", "data"),
    [(AGENT, {AGENT / "injected"}), (EXPORTER, set())],
    ids=["agent", "exporter"],
)
def test_every_folder_with_modules_is_a_package(source: Path, data: set[Path]) -> None:
    with_modules = {path.parent for path in source.rglob("*.py")} - data
    packages = {path.parent for path in source.rglob("__init__.py")}
    assert with_modules == packages


def test_the_agent_lists_every_folder_with_modules() -> None:
    found = {path.parent.relative_to(AGENT.parent) for path in AGENT.rglob("*.py")}
    listed = read_pyproject("agent")["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in found)


def test_both_distributions_are_typed() -> None:
    assert (AGENT / "py.typed").exists()
    assert (EXPORTER / "py.typed").exists()


def test_no_message_names_a_distribution_that_is_not_published_to_pip() -> None:
    sources = [*EXPORTER.rglob("*.py"), *AGENT.rglob("*.py"), *ROOT.glob("docs/**/*.md")]
    sources += [ROOT / "README.md", *ROOT.glob("examples/**/*.md")]
    unpublished = re.compile(r"pip install[^\n]*[ ']sqlalchemy-pool-(exporter|metrics)\b")
    assert [path for path in sources if unpublished.search(path.read_text())] == []


def test_the_extras_that_messages_name_exist() -> None:
    extras = read_pyproject("exporter")["project"]["optional-dependencies"]
    named = {driver.extra for dialect in DIALECTS for driver in dialect.drivers if driver.extra}
    assert {*named, "demo"} <= set(extras)
    assert (ROOT / "exporter" / "pyproject.toml").exists()
    assert describe_install("demo") == "pip install './exporter[demo]' in a clone of the repository"


def test_the_exporter_requires_the_agent_of_its_own_version() -> None:
    agent, exporter = (read_pyproject(folder)["project"] for folder in ("agent", "exporter"))

    assert agent["version"] == exporter["version"]
    assert f"sqlalchemy-pool-metrics[prometheus]=={agent['version']}" in exporter["dependencies"]
