"""The accounts of the test servers: the same names and passwords on PostgreSQL and MariaDB.

Passwords hold characters that URLs, shells and SQL treat specially, so that every test quotes them.
"""

from __future__ import annotations

from typing import NamedTuple


class Account(NamedTuple):
    """A user and a password, for `server.url("shop", *PLAIN, driver="asyncpg")`."""

    user: str
    password: str


DATABASE = "shop"
SUPERUSER = Account("postgres", "sup3r/us3r@pass%20word")
PLAIN = Account("app", "pl@in:s3cret/%41")
MONITOR = Account("monitor", "mon1tor+s3cret&x=1")


def quote_literal(text: str) -> str:
    """Return an SQL string literal, for statements without parameters."""
    return "'" + text.replace("'", "''") + "'"
