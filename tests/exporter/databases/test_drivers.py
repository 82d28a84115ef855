from __future__ import annotations

import pytest

from sqlalchemy_pool_exporter.engines.drivers import (
    DEFAULTS,
    LOGIN_SECONDS,
    build_defaults,
    build_mysql_limit,
    build_postgresql_limit,
    merge_arguments,
)


@pytest.mark.parametrize("driver", DEFAULTS.keys() - {"asyncpg"})
def test_every_known_driver_is_told_to_give_up_connecting(driver: str) -> None:
    arguments = build_defaults(driver, 4.5, None)
    assert any(value in (4.5, 5) for value in arguments.values())


def test_asyncpg_waits_longer_for_a_login_than_a_visit_takes() -> None:
    """Which ends it sooner unless its server has begun to answer."""
    assert build_defaults("asyncpg", 4.5, None)["timeout"] == LOGIN_SECONDS
    assert build_defaults("asyncpg", 2 * LOGIN_SECONDS, None)["timeout"] == 2 * LOGIN_SECONDS


def test_an_unknown_driver_is_told_nothing() -> None:
    assert build_defaults("oracledb", 5, 5) == {}


def test_libpq_gets_the_whole_seconds_it_wants() -> None:
    assert build_defaults("psycopg", 0.3, None)["connect_timeout"] == 2
    assert build_defaults("psycopg2", 2.1, None)["connect_timeout"] == 3


def test_later_arguments_win_and_mappings_are_merged() -> None:
    ours = {"timeout": 5, "server_settings": {"application_name": "exporter", "jit": "off"}}
    theirs = {"timeout": 1, "server_settings": {"application_name": "mine"}, "ssl": True}
    assert merge_arguments(ours, theirs) == {
        "timeout": 1,
        "server_settings": {"application_name": "mine", "jit": "off"},
        "ssl": True,
    }
    assert ours["timeout"] == 5


def test_libpqs_options_are_strung_together_so_that_the_later_counts() -> None:
    merged = merge_arguments({"options": "-c a=1"}, {"options": "-c a=2"})
    assert merged == {"options": "-c a=1 -c a=2"}


def test_a_limit_is_never_rounded_to_none() -> None:
    assert build_postgresql_limit(-0.001) == "SET LOCAL statement_timeout = 1"
    assert "max_execution_time = 1 " in build_mysql_limit(0.0001)
