from __future__ import annotations

import sqlite3

import pytest

from sqlalchemy_pool_metrics.failures.reason import Reason
from sqlalchemy_pool_metrics.failures.sqlite import classify_exact


def build_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("a text")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (sqlite3.SQLITE_ERROR, Reason.QUERY),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Reason.OTHER),
        (sqlite3.SQLITE_INTERRUPT, Reason.CANCELLED),
        (sqlite3.SQLITE_BUSY, Reason.TIMEOUT),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Reason.TIMEOUT),
        (sqlite3.SQLITE_LOCKED, Reason.TIMEOUT),
        (sqlite3.SQLITE_READONLY, Reason.READ_ONLY),
        (sqlite3.SQLITE_READONLY_DBMOVED, Reason.READ_ONLY),
        (sqlite3.SQLITE_CANTOPEN, Reason.NO_DATABASE),
        (sqlite3.SQLITE_NOTADB, Reason.NO_DATABASE),
        (sqlite3.SQLITE_AUTH, Reason.AUTH),
        (sqlite3.SQLITE_PERM, Reason.AUTH),
        (sqlite3.SQLITE_IOERR_READ, Reason.OTHER),
        (sqlite3.SQLITE_CORRUPT, Reason.OTHER),
        (sqlite3.SQLITE_FULL, Reason.OTHER),
        (sqlite3.SQLITE_NOMEM, Reason.OTHER),
    ],
)
def test_the_primary_result_code_decides(code: int, reason: Reason) -> None:
    assert classify_exact(build_error(code)) is reason


@pytest.mark.parametrize("error", [sqlite3.ProgrammingError("a closed database"), KeyError()])
def test_an_error_without_a_result_code_has_no_reason(error: Exception) -> None:
    assert classify_exact(error) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("database is locked", Reason.TIMEOUT),
        ("attempt to write a readonly database", Reason.READ_ONLY),
        ("interrupted", Reason.CANCELLED),
        ("unable to open database file", Reason.NO_DATABASE),
        ("no such table: orders", None),
    ],
)
def test_before_python_311_the_text_decides(text: str, reason: Reason | None) -> None:
    assert classify_exact(sqlite3.OperationalError(text)) is reason
