"""The distributions hold every package of the tree, and both have one version."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def read_pyproject(folder: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())


@pytest.mark.parametrize(
    ("folder", "package", "source"),
    [
        ("agent", "sqlalchemy_pool_metrics", ROOT / "agent" / "sqlalchemy_pool_metrics"),
        ("exporter", "exporter", ROOT / "exporter"),
    ],
)
def test_every_folder_with_modules_is_a_package_that_is_installed(
    folder: str, package: str, source: Path
) -> None:
    found = {
        ".".join((package, *path.parent.relative_to(source).parts))
        for path in source.rglob("__init__.py")
        if "build" not in path.parts
    }

    assert set(read_pyproject(folder)["tool"]["setuptools"]["packages"]) == found


def test_both_distributions_have_the_same_version_and_the_exporter_wants_it() -> None:
    agent, exporter = (read_pyproject(folder)["project"] for folder in ("agent", "exporter"))

    assert agent["version"] == exporter["version"]
    assert f"sqlalchemy-pool-metrics[prometheus]=={agent['version']}" in exporter["dependencies"]
