"""Prometheus' own linter finds no problem in a scrape."""

import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.exporter.web.clients import build_app, build_down, open_client

pytestmark = pytest.mark.anyio


def find_promtool() -> str:
    """The program; without it the test is skipped, except where it must run."""
    path = shutil.which("promtool")
    if path is None and not os.environ.get("CI"):
        pytest.skip("promtool is not installed (it comes with Prometheus)")
    assert path, "promtool is needed where CI is set"
    return path


def lint(promtool: str, metrics: bytes) -> str:
    """Its complaints; empty means that it ended with status 0, too."""
    linted = subprocess.run(
        [promtool, "check", "metrics"], input=metrics, capture_output=True, check=False, timeout=60
    )
    complaints = (linted.stdout + linted.stderr).decode()
    return complaints or ("" if linted.returncode == 0 else f"status {linted.returncode}")


async def test_promtool_finds_no_problem(up: dict[str, Any], closed_port: int) -> None:
    databases = {
        "shop": {**up, "labels": {"team": "sales"}},
        "orders": build_down(closed_port),
    }
    async with open_client(build_app(databases)) as client:
        await client.get("/health/db")
        metrics = (await client.get("/metrics")).content
    assert lint(find_promtool(), metrics) == ""
