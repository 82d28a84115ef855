from __future__ import annotations

import pymysql
import pytest

from sqlalchemy_pool_metrics.failures.mysql import (
    classify_exact,
    classify_heuristic,
    read_number,
)
from sqlalchemy_pool_metrics.failures.reason import Reason

NUMBERS = [
    *((number, Reason.AUTH) for number in (1044, 1045, 1130, 1698, 1820, 3118, 4151)),
    (1049, Reason.NO_DATABASE),
    *((number, Reason.TOO_MANY_CONNECTIONS) for number in (1040, 1203, 1226)),
    *((number, Reason.TIMEOUT) for number in (1205, 1969, 3024, 4031)),
    *((number, Reason.READ_ONLY) for number in (1792, 1836)),
    *((number, Reason.REFUSED) for number in (0, 1053, 1129, 1927)),
    *((number, Reason.TLS) for number in (2026, 3159)),
    (2005, Reason.DNS),
    (2027, Reason.DRIVER),
    *((number, Reason.QUERY) for number in (1064, 1146, 1227)),
    (1213, Reason.DEADLOCK),
    (1020, Reason.SERIALIZATION),
    (1317, Reason.CANCELLED),
    *((number, Reason.OTHER) for number in (1021, 1062, 1451, 4025)),
    *((number, None) for number in (2002, 2003, 2006, 2013)),
]


class ConnectorError(Exception):
    """As MySQL Connector/Python raises them: with an errno, of a module of that name."""

    def __init__(self, errno: int) -> None:
        super().__init__(f"{errno} (HY000): a text")
        self.errno = errno


ConnectorError.__module__ = "mysql.connector.errors"


@pytest.mark.parametrize(("number", "reason"), NUMBERS)
def test_the_number_decides(number: int, reason: Reason | None) -> None:
    assert classify_exact(pymysql.OperationalError(number, "a text")) is reason


def test_other_drivers_have_the_number_too() -> None:
    assert classify_exact(ConnectorError(1049)) is Reason.NO_DATABASE


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--read-only", Reason.READ_ONLY),
        ("--super-read-only", Reason.READ_ONLY),
        ("read_only=1", Reason.READ_ONLY),
        ("--skip-grant-tables", Reason.QUERY),
    ],
)
def test_the_option_that_prevents_a_statement_decides(option: str, reason: Reason) -> None:
    text = f"The MySQL server is running with the {option} option so it cannot execute this"
    assert classify_exact(pymysql.OperationalError(1290, text)) is reason


@pytest.mark.parametrize("number", [2002, 2003, 2006, 2013])
def test_a_connection_that_broke_without_a_cause_is_refused(number: int) -> None:
    assert classify_heuristic(pymysql.OperationalError(number, "a text")) is Reason.REFUSED


def test_a_statement_that_failed_is_not_taken_for_a_broken_connection() -> None:
    assert classify_heuristic(pymysql.OperationalError(1064, "a text")) is None


@pytest.mark.parametrize(
    "error", [OSError(1045, "a text"), pymysql.OperationalError(), pymysql.InternalError("1045")]
)
def test_only_drivers_for_mysql_have_numbers(error: Exception) -> None:
    assert read_number(error) is None
    assert classify_exact(error) is None
