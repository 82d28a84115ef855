"""The command `python -m sqlalchemy_pool_metrics check`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.export import export

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs locks as Linux has them")


def check(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "SQLALCHEMY_POOL"))
    }
    return subprocess.run(
        [sys.executable, *options, "-m", "sqlalchemy_pool_metrics", "check"],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def injected(tmp_path: Path) -> dict[str, str]:
    """The variables of an application that is recorded and shared."""
    export(tmp_path / "agent")
    (tmp_path / "pools").mkdir()
    return {
        "PYTHONPATH": str(tmp_path / "agent"),
        "SQLALCHEMY_POOL_METRICS_DIR": str(tmp_path / "pools"),
    }


def test_an_application_that_is_recorded_and_shared_is_good(
    tmp_path: Path, injected: dict[str, str]
) -> None:
    answer = check(**injected, SQLALCHEMY_POOL_METRICS_HOLDERS="1")

    assert (answer.returncode, answer.stderr) == (0, "")
    assert {line[:4] for line in answer.stdout.splitlines()} == {"ok  "}
    assert list((tmp_path / "pools").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "change", "reason"),
    [
        (["-E"], {}, "-E"),
        ([], {"SQLALCHEMY_POOL_METRICS": "off"}, "SQLALCHEMY_POOL_METRICS=off"),
        ([], {"SQLALCHEMY_POOL_METRICS_DIR": ""}, "SQLALCHEMY_POOL_METRICS_DIR"),
        ([], {"SQLALCHEMY_POOL_METRICS_DIR": "/nowhere"}, "/nowhere"),
        ([], {"SQLALCHEMY_POOL_METRICS_DIR": "/proc/1"}, "/proc/1"),
        ([], {"SQLALCHEMY_POOL_METRICS_HOLDERS": "enabled"}, "SQLALCHEMY_POOL_METRICS_HOLDERS"),
    ],
)
def test_what_is_missing_is_named(
    injected: dict[str, str], options: list[str], change: dict[str, str], reason: str
) -> None:
    answer = check(*options, **{**injected, **change})

    assert answer.returncode == 1
    assert [reason in line for line in answer.stdout.splitlines() if line[:2] == "NO"] == [True]


def test_what_an_application_may_do_without_is_shown_but_not_missing(
    injected: dict[str, str],
) -> None:
    answer = check(**{**injected, "PYTHONPATH": ""})

    assert answer.returncode == 0
    optional = [line for line in answer.stdout.splitlines() if line[:2] == "--"]
    assert ["PYTHONPATH" in optional[0], "HOLDERS" in optional[1]] == [True, True]


def test_another_sitecustomize_in_the_way_is_named(
    tmp_path: Path, injected: dict[str, str]
) -> None:
    other = tmp_path / "other" / "sitecustomize.py"
    other.parent.mkdir()
    other.write_text("")
    answer = check(**{**injected, "PYTHONPATH": f"{other.parent}:{injected['PYTHONPATH']}"})

    assert answer.returncode == 1
    assert str(other) in answer.stdout
