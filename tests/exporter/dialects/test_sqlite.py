from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from sqlalchemy_pool_exporter.dialects import ServerStatus, parse_url
from sqlalchemy_pool_exporter.dialects.sqlite import read_status
from sqlalchemy_pool_exporter.urls import URLError
from tests.exporter.dialects.reading import read, work


def count_tables(text: str) -> object:
    url = parse_url(text)
    engine = sqlalchemy.create_engine(url.url, connect_args=dict(url.connect_args))
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    "name", ["plain.db", "with space.db", "q?uestion#hash.db", "100%.db", "a@b"]
)
def test_a_file_is_opened_whatever_its_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    encoded = str(file).replace("%", "%25").replace("?", "%3F")
    assert count_tables(f"sqlite:///{encoded}") == 1


def test_a_missing_file_is_an_error_and_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="unable to open database file"):
        count_tables(f"sqlite:///{tmp_path}/missing.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_stays_one(text: str) -> None:
    assert count_tables(text) == 0


def test_a_uri_of_sqlite_stays_unchanged(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    assert count_tables(f"sqlite:///file:{tmp_path}/x.db?mode=ro&uri=true") == 0


def test_the_drivers_parameters_reach_it() -> None:
    url = parse_url("sqlite:////srv/x.db?timeout=2.5&check_same_thread=false")
    assert dict(url.url.query) == {
        "timeout": "2.5",
        "check_same_thread": "false",
        "uri": "true",
        "mode": "rw",
    }


def test_the_path_is_shown_as_it_was_written() -> None:
    url = parse_url("sqlite+pysqlite:////srv/x.db")
    assert (url.safe, url.database) == ("sqlite+pysqlite:////srv/x.db", "/srv/x.db")


@pytest.mark.parametrize("text", ["sqlite://x.db", "sqlite://app:canary@db/x"])
def test_two_slashes_are_an_error_that_shows_the_forms(text: str) -> None:
    with pytest.raises(URLError, match=r"sqlite:///relative\.db, sqlite:////abs") as caught:
        parse_url(text)
    assert "canary" not in str(caught.value)


def test_a_uri_parameter_without_uri_is_an_error() -> None:
    with pytest.raises(URLError, match="got parameter cache, expected a parameter SQLite knows"):
        parse_url("sqlite:////srv/x.db?cache=shared")


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
        return read_status(connection, True).writable

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
