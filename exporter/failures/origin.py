"""Whose code raised an error: what answers nonsense makes drivers fail in ways nobody foresaw.

It must not decide on reasons.
"""

from __future__ import annotations

import traceback

# The top-level modules of the drivers whose errors the modules beside this one can read.
MYSQL_DRIVERS = frozenset({"pymysql", "aiomysql", "asyncmy", "MySQLdb", "mysql", "mariadb"})
POSTGRESQL_DRIVERS = frozenset({"asyncpg", "psycopg", "psycopg2", "psycopg_pool"})
DRIVERS = MYSQL_DRIVERS | POSTGRESQL_DRIVERS | {"aiosqlite", "sqlite3"}


def read_raiser(error: BaseException) -> str:
    """Top-level module of the innermost Python frame; empty for an error nobody raised yet."""
    modules = [
        str(frame.f_globals.get("__name__", ""))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return _top(modules[-1]) if modules else ""


def is_class_of(error: BaseException, drivers: frozenset[str]) -> bool:
    """True when the class of the error, or one it derives from, belongs to one of the drivers."""
    return any(_top(base.__module__) in drivers for base in type(error).__mro__)


def _top(module: str) -> str:
    return module.partition(".")[0]
