"""Fixtures of the agent's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.sharing import FOLDER_VARIABLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which this process and its children share their numbers."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("SQLALCHEMY_POOL_METRICS_APP", "a shop/../1")
    return tmp_path
