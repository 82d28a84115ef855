"""What the endpoints and tasks do with connections."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from tests.servers.conditions import wait_until

FOLDER = Path(os.environ["SHOP_FOLDER"])
engine = create_engine(f"sqlite:///{FOLDER}/shop.db")
leaked: list[Any] = []


def use() -> None:
    with engine.connect():
        pass


def hold_until_released() -> None:
    """Keep a connection as during a call to another service."""
    with engine.connect():
        wait_until((FOLDER / "released").exists, "the other service")


def leak() -> None:
    leaked.append(engine.connect())
