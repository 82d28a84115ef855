"""What each driver must be told besides the URL, so that a probe of it ends in time.

Knows the drivers' own names for things; neither engines nor settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

APPLICATION_NAME = "sqlalchemy-pool-exporter"

# How long a login may take that the server has begun to answer. Another one would only wait there
# with it, for the same lock for one, and PostgreSQL does not notice who hangs up meanwhile.
LOGIN_SECONDS = 300.0

Arguments = dict[str, Any]
# Of the time a connection may take to open, in seconds; and of the time a statement may take on
# the server, in seconds, None for as long as it likes.
BuildDefaults = Callable[[float, float | None], Arguments]


def build_defaults(driver: str, timeout: float, statement_timeout: float | None) -> Arguments:
    """What a driver is told unless the configuration says otherwise; {} for an unknown driver."""
    build = DEFAULTS.get(driver)
    return build(timeout, statement_timeout) if build else {}


def merge_arguments(*layers: Mapping[str, Any]) -> Arguments:
    """Later layers win, mappings in them key by key; `options` of libpq are strung together."""
    merged: Arguments = {}
    for layer in layers:
        for key, value in layer.items():
            merged[key] = merge_values(key, merged.get(key), value)
    return merged


def merge_values(key: str, earlier: Any, later: Any) -> Any:
    if isinstance(earlier, Mapping) and isinstance(later, Mapping):
        return {**earlier, **later}
    if key == "options" and isinstance(earlier, str) and isinstance(later, str):
        return f"{earlier} {later}"  # of two settings of one parameter the last one counts
    return later


def build_asyncpg(timeout: float, statement_timeout: float | None) -> Arguments:
    server_settings = {"application_name": APPLICATION_NAME}
    if statement_timeout is not None:
        server_settings["statement_timeout"] = str(to_milliseconds(statement_timeout))
    return {
        # The deadline of the visit ends a login that the server does not answer, sooner than this.
        "timeout": max(timeout, LOGIN_SECONDS),
        "server_settings": server_settings,
        # PgBouncer in transaction mode hands every transaction another server connection, which
        # knows none of our prepared statements, or somebody else's by the same name. Only the
        # unnamed one is safe: https://github.com/sqlalchemy/sqlalchemy/issues/6467
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,  # str() is "", the name of the unnamed one
    }


def build_libpq(timeout: float, statement_timeout: float | None) -> Arguments:
    arguments: Arguments = {
        "connect_timeout": max(2, math.ceil(timeout)),  # libpq takes whole seconds, 2 at least
        "application_name": APPLICATION_NAME,
    }
    if statement_timeout is not None:
        arguments["options"] = f"-c statement_timeout={to_milliseconds(statement_timeout)}"
    return arguments


def build_pymysql(timeout: float, _statement_timeout: float | None) -> Arguments:
    return {
        "connect_timeout": timeout,
        "read_timeout": timeout,
        "write_timeout": timeout,
        "program_name": APPLICATION_NAME,
    }


def build_mysqldb(timeout: float, _statement_timeout: float | None) -> Arguments:
    seconds = math.ceil(timeout)
    return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}


def build_connect_timeout(timeout: float, _statement_timeout: float | None) -> Arguments:
    return {"connect_timeout": timeout}


def build_mysqlconnector(timeout: float, _statement_timeout: float | None) -> Arguments:
    return {"connection_timeout": math.ceil(timeout)}


def build_sqlite(timeout: float, _statement_timeout: float | None) -> Arguments:
    return {"timeout": timeout}  # for a lock that another process holds


DEFAULTS: dict[str, BuildDefaults] = {
    "asyncpg": build_asyncpg,
    "psycopg": build_libpq,
    "psycopg2": build_libpq,
    "pymysql": build_pymysql,
    "mysqldb": build_mysqldb,
    "aiomysql": build_connect_timeout,
    "asyncmy": build_connect_timeout,
    "mysqlconnector": build_mysqlconnector,
    "pysqlite": build_sqlite,
    "aiosqlite": build_sqlite,
}


def build_mysql_limit(seconds: float) -> str:
    """The statement that limits all later ones of a MySQL or MariaDB session.

    Each server runs only the comment that is meant for it, and one that knows neither variable
    runs none: MariaDB skips `/*!50708 */` as it does all of 50700 to 99999, MySQL every `/*M! */`.
    """
    return (
        f"SET @statement_timeout = {seconds:g}"
        f" /*!50708 , SESSION max_execution_time = {to_milliseconds(seconds)} */"
        f" /*M!100101 , SESSION max_statement_time = {seconds:g} */"
    )


def build_postgresql_limit(seconds: float) -> str:
    """The statement that limits the later ones of the same PostgreSQL transaction.

    A startup parameter would last longer and cost no round trip, but PgBouncer refuses it unless
    it is told to ignore it, and a plain SET would outlive the transaction and hit its other users.
    """
    return f"SET LOCAL statement_timeout = {to_milliseconds(seconds)}"


def to_milliseconds(seconds: float) -> int:
    """At least 1, because 0 means no limit."""
    return max(1, round(seconds * 1000))
