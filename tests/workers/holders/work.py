"""What the endpoints and tasks do with connections."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from tests.servers.conditions import wait_until

FOLDER = Path(os.environ["SHOP_FOLDER"])
DATABASE = FOLDER / "shop.db"
PATIENCE = 60.0
engine = create_engine(f"sqlite:///{DATABASE}", connect_args={"timeout": PATIENCE})
leaked: list[Any] = []


def open_session() -> Iterator[None]:
    with engine.connect():
        yield


def use() -> None:
    with engine.connect():
        pass


def call_other_service() -> None:
    wait_until((FOLDER / "released").exists, "the other service", PATIENCE)


def hold_across_call() -> None:
    with contextmanager(open_session)():
        call_other_service()


def wait_for_lock() -> None:
    """Execute a statement for which the database needs long."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def leak() -> None:
    leaked.append(engine.connect())


def drop() -> None:
    """Forget a connection, which the garbage collector returns at once."""
    engine.connect()
