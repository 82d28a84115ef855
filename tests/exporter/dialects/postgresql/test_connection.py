from __future__ import annotations

from sqlalchemy_pool_exporter.dialects import find_driver
from sqlalchemy_pool_exporter.dialects.postgresql.connection import (
    LOGIN_SECONDS,
    build_asyncpg_arguments,
    limit_transaction,
)


def test_asyncpg_waits_longer_for_a_login_than_a_probe_takes() -> None:
    """The probe's deadline ends it sooner, unless the server has begun to answer."""
    assert build_asyncpg_arguments(4.5, None)["timeout"] == LOGIN_SECONDS
    assert build_asyncpg_arguments(2 * LOGIN_SECONDS, None)["timeout"] == 2 * LOGIN_SECONDS


def test_libpq_gets_whole_seconds() -> None:
    for driver, seconds, expected in (("psycopg", 0.3, 2), ("psycopg2", 2.1, 3)):
        arguments = find_driver("postgresql", driver).connect_arguments(seconds, None)
        assert arguments["connect_timeout"] == expected


def test_a_limit_is_never_rounded_to_none() -> None:
    assert limit_transaction(-0.001) == "SET LOCAL statement_timeout = 1"
