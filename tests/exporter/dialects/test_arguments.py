"""Arguments of connect() in a configuration: converted where that is safe, else refused.

The drivers themselves are the judges: what is refused they refuse, and what is accepted lets them
try to connect.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import psycopg
import pymysql
import pytest

from sqlalchemy_pool_exporter.dialects import Driver, find_driver

Arguments: TypeAlias = dict[str, Any]

ASYNCPG = find_driver("postgresql", "asyncpg")
PSYCOPG = find_driver("postgresql", "psycopg")
PYMYSQL = find_driver("mysql", "pymysql")
SQLITE = find_driver("sqlite", "pysqlite")

# Nothing listens on it.
PORT = 1
REFUSED: list[tuple[Driver, Arguments, str]] = [
    (ASYNCPG, {"server_settings": {"jit": False}}, "server_settings.jit"),
    (ASYNCPG, {"server_settings": {"search_path": ["a", "b"]}}, "server_settings.search_path"),
    (ASYNCPG, {"server_settings": {"work_mem": None}}, "server_settings.work_mem"),
    (ASYNCPG, {"server_settings": "jit=off"}, "server_settings"),
    (ASYNCPG, {"ssl": "requird"}, "ssl"),
    (ASYNCPG, {"timeout": "5s"}, "timeout"),
    (ASYNCPG, {"command_timeout": True}, "command_timeout"),
    (ASYNCPG, {"command_timeout": 0}, "command_timeout"),
    (ASYNCPG, {"statement_cache_size": -1}, "statement_cache_size"),
    (ASYNCPG, {"statement_cache_size": None}, "statement_cache_size"),
    (ASYNCPG, {"target_session_attrs": "master"}, "target_session_attrs"),
    (ASYNCPG, {"sslmode": "require"}, "sslmode"),
    (ASYNCPG, {"aplication_name": "x"}, "aplication_name"),
    (ASYNCPG, {"connection_class": "Connection"}, "connection_class"),
    (PSYCOPG, {"connect_timeout": True}, "connect_timeout"),
    (PSYCOPG, {"connect_timeout": "5s"}, "connect_timeout"),
    (PSYCOPG, {"sslmode": False}, "sslmode"),
    (PSYCOPG, {"keepalives": "yes"}, "keepalives"),
    (PSYCOPG, {"target_session_attrs": "rw"}, "target_session_attrs"),
    (PSYCOPG, {"server_settings": {"jit": "off"}}, "server_settings"),
    (PSYCOPG, {"sslmod": "require"}, "sslmod"),
    (PYMYSQL, {"connect_timeout": "5s"}, "connect_timeout"),
    (PYMYSQL, {"connect_timeout": 0}, "connect_timeout"),
    (PYMYSQL, {"read_timeout": -1}, "read_timeout"),
    (PYMYSQL, {"charset": "utf9"}, "charset"),
    (PYMYSQL, {"charset": 8}, "charset"),
    (PYMYSQL, {"ssl": True}, "ssl"),
    (PYMYSQL, {"ssl": {"ca": "/no/such/file"}}, "ssl.ca"),
    (PYMYSQL, {"ssl_ca": "/no/such/file"}, "ssl_ca"),
    (PYMYSQL, {"client_flag": "MULTI"}, "client_flag"),
    (PYMYSQL, {"host": 10}, "host"),
    (PYMYSQL, {"compress": True}, "compress"),
    (PYMYSQL, {"server_settings": {}}, "server_settings"),
    (SQLITE, {"timeout": "long"}, "timeout"),
    (SQLITE, {"timeout": date(2026, 1, 1)}, "timeout"),
    (SQLITE, {"isolation_level": False}, "isolation_level"),
    (SQLITE, {"isolation_level": "SERIALIZABLE"}, "isolation_level"),
    (SQLITE, {"detect_types": None}, "detect_types"),
    (SQLITE, {"check_same_thread": "maybe"}, "check_same_thread"),
    (SQLITE, {"journal_mode": "wal"}, "journal_mode"),
]
ACCEPTED: list[tuple[Driver, Arguments, Arguments]] = [
    (
        ASYNCPG,
        {"server_settings": {"statement_timeout": 1000, "jit": "off", "seq_page_cost": 1.5}},
        {"server_settings": {"statement_timeout": "1000", "jit": "off", "seq_page_cost": "1.5"}},
    ),
    (ASYNCPG, {"timeout": "5", "ssl": "prefer"}, {"timeout": 5.0, "ssl": "prefer"}),
    (ASYNCPG, {"statement_cache_size": "100"}, {"statement_cache_size": 100}),
    (ASYNCPG, {"ssl": "false", "command_timeout": None}, {"ssl": False, "command_timeout": None}),
    (PSYCOPG, {"connect_timeout": "5"}, {"connect_timeout": 5.0}),
    (PSYCOPG, {"keepalives": False, "sslmode": "prefer"}, {"keepalives": 0, "sslmode": "prefer"}),
    (PSYCOPG, {"options": "-c jit=off"}, {"options": "-c jit=off"}),
    (PSYCOPG, {"prepare_threshold": None}, {"prepare_threshold": None}),
    (PYMYSQL, {"connect_timeout": "2.5"}, {"connect_timeout": 2.5}),
    (PYMYSQL, {"charset": "utf8mb4", "autocommit": "off"}, {"charset": "utf8mb4"}),
    (PYMYSQL, {"ssl": {"check_hostname": "no"}}, {"ssl": {"check_hostname": False}}),
    (SQLITE, {"timeout": "0.5"}, {"timeout": 0.5}),
    (SQLITE, {"isolation_level": None, "uri": 1}, {"isolation_level": None, "uri": True}),
    (SQLITE, {"check_same_thread": "false"}, {"check_same_thread": False}),
]


def connect(driver: Driver, arguments: Mapping[str, Any]) -> None:
    """Let a driver connect to a database that there is not; raise what it raises."""
    where: Arguments = {"host": "127.0.0.1", "port": PORT, "user": "app"}
    if driver is ASYNCPG:
        asyncio.run(asyncpg.connect(**{**where, "database": "shop", **arguments}))
    elif driver is PSYCOPG:
        psycopg.connect(**{**where, "dbname": "shop", **arguments})
    elif driver is PYMYSQL:
        pymysql.connect(**{**where, **arguments})
    else:
        sqlite3.connect("file:/no/such/folder/file", **{"uri": True, **arguments}).close()


def tries_to_connect(driver: Driver, arguments: Mapping[str, Any]) -> bool:
    try:
        connect(driver, arguments)
    except ConnectionRefusedError:
        return True
    except Exception as error:
        return "refused" in str(error) or "unable to open" in str(error)
    return False


@pytest.mark.parametrize(("driver", "arguments", "key"), REFUSED)
def test_what_a_driver_refuses_is_refused_by_its_key(
    driver: Driver, arguments: Arguments, key: str
) -> None:
    _, problems = driver.convert(arguments)
    assert [".".join(problem.path) for problem in problems] == [key]
    assert all(problem.expected for problem in problems)
    assert not tries_to_connect(driver, arguments)


@pytest.mark.parametrize(("driver", "arguments", "expected"), ACCEPTED)
def test_what_is_meant_for_certain_reaches_the_driver_in_its_own_type(
    driver: Driver, arguments: Arguments, expected: Arguments
) -> None:
    converted, problems = driver.convert(arguments)
    assert problems == ()
    for key, value in expected.items():
        assert (converted[key], type(converted[key])) == (value, type(value))
    assert tries_to_connect(driver, converted)


@pytest.mark.parametrize(
    ("driver", "arguments"),
    [
        (ASYNCPG, {"ssl": 5}),
        (ASYNCPG, {"password": 271828}),
        (find_driver("mysql", "aiomysql"), {"ssl": True}),
        (find_driver("mysql", "mysqldb"), {"connect_timeout": 2.5}),
        (find_driver("mysql", "mysqlconnector"), {"connection_timeout": "5s"}),
        (find_driver("postgresql", "pg8000"), {"timeout": "5s"}),
        (find_driver("postgresql", "psycopg2"), {"connect_timeout": 2.5}),
        (find_driver("sqlite", "aiosqlite"), {"journal_mode": "wal"}),
    ],
)
def test_what_a_driver_refuses_only_later_is_refused_too(
    driver: Driver, arguments: Arguments
) -> None:
    (problem,) = driver.convert(arguments)[1]
    assert problem.path == tuple(arguments)


def test_the_arguments_of_an_unknown_driver_are_passed_on() -> None:
    arguments = {"anything": False}
    assert find_driver("oracle", "oracledb").convert(arguments) == (arguments, ())


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    (problem,) = ASYNCPG.convert({"comand_timeout": 5})[1]
    assert problem.is_unknown
    assert problem.expected.endswith("did you mean command_timeout?")


def test_a_file_that_is_missing_may_exist_elsewhere(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    arguments = {"ssl": {"ca": str(missing)}}
    (problem,) = PYMYSQL.convert(arguments)[1]
    assert problem.is_file
    missing.touch()
    assert PYMYSQL.convert(arguments) == (arguments, ())
