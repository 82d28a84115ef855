"""A database that is up and needs no server."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def up(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "shop.db"
    file.touch()
    return {"url": f"sqlite:///{file}"}
