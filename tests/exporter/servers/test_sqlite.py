from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from sqlalchemy_pool_exporter.servers import ServerStatus, read_server
from tests.exporter.servers.reading import read, work


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a table in it."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    return tmp_path / "shop.db"


@pytest.mark.parametrize("driver", ["pysqlite", "aiosqlite"])
@pytest.mark.parametrize("metrics", [True, False])
def test_a_file_has_a_version_and_no_limits(path: Path, driver: str, metrics: bool) -> None:
    status = read(f"sqlite+{driver}:///{path}", metrics=metrics)
    assert status == ServerStatus(sqlite3.sqlite_version, writable=True)


def test_a_database_in_memory_is_writable() -> None:
    assert read("sqlite://").writable is True


def test_a_connection_that_may_only_query_is_not_writable(path: Path) -> None:
    def ask(connection: Connection) -> bool | None:
        connection.execute(text("PRAGMA query_only = on"))
        return read_server(connection, metrics=True).writable

    assert work(f"sqlite:///{path}", ask) is False


@pytest.mark.parametrize("option", ["mode=ro", "immutable=1"])
def test_a_file_that_is_opened_for_reading_is_not_writable(path: Path, option: str) -> None:
    assert read(f"sqlite:///file:{path}?{option}&uri=true").writable is False


def test_a_file_without_permission_is_not_writable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write whatever the permissions say, and so may SQLite then.
    monkeypatch.setattr(os, "access", lambda file, mode: (file, mode) != (str(path), os.W_OK))
    assert read(f"sqlite:///{path}").writable is False


def test_reading_does_not_lock_the_file(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert read(f"sqlite:///{path}").writable is True
