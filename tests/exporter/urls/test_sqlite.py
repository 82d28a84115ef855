from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from sqlalchemy_pool_exporter.urls import URLError, parse_url


def ask(text: str) -> object:
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
    assert ask(f"sqlite:///{encoded}") == 1


def test_a_missing_file_is_an_error_and_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="unable to open database file"):
        ask(f"sqlite:///{tmp_path}/missing.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_stays_one(text: str) -> None:
    assert ask(text) == 0


def test_a_uri_of_sqlite_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    assert ask(f"sqlite:///file:{tmp_path}/x.db?mode=ro&uri=true") == 0


def test_the_driver_s_parameters_reach_it() -> None:
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
