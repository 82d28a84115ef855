from __future__ import annotations

import asyncio
import errno
import sqlite3
import struct
from types import ModuleType

import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from sqlalchemy_pool_metrics.failures.classify import (
    classify,
    classify_class,
    classify_sqlalchemy_error,
    classify_statement,
    is_wrapper,
)
from sqlalchemy_pool_metrics.failures.reason import Reason


def build_sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("a text")
    error.sqlite_errorcode = code
    return error


def test_the_reasons_are_the_closed_set_of_the_design() -> None:
    design = (
        "dns refused unreachable timeout tls auth no_database too_many_connections pool_timeout "
        "read_only disconnected cancelled deadlock serialization query driver other"
    )
    assert [str(reason) for reason in Reason] == design.split()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exc.TimeoutError("QueuePool limit"), Reason.POOL_TIMEOUT),
        (build_sqlite_error(sqlite3.SQLITE_CANTOPEN), Reason.NO_DATABASE),
        (pymysql.OperationalError(1045, "Access denied"), Reason.AUTH),
        (psycopg.errors.TooManyConnections("too many"), Reason.TOO_MANY_CONNECTIONS),
        (ConnectionRefusedError(111, "refused"), Reason.REFUSED),
        (pymysql.OperationalError(2013, "Lost connection"), Reason.REFUSED),
        (psycopg.errors.ProtocolViolation("something"), Reason.DRIVER),
        (psycopg.InterfaceError("something"), Reason.DRIVER),
    ],
)
def test_errors_of_every_kind_have_their_reason(error: Exception, reason: Reason) -> None:
    assert classify(error) is reason


def test_the_number_of_a_mysql_error_says_more_than_its_sqlstate() -> None:
    # The SQLSTATE of error 1044 is the one of a syntax error.
    error = pymysql.OperationalError(1044, "Access denied")
    error.sqlstate = "42000"
    assert classify(error) is Reason.AUTH


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()])
def test_what_is_no_mistake_is_cancelled(error: BaseException) -> None:
    assert classify(error) is Reason.CANCELLED


@pytest.mark.parametrize(
    ("error", "is_disconnect", "reason"),
    [
        (psycopg.OperationalError("the connection is closed"), False, Reason.DISCONNECTED),
        (pymysql.OperationalError(2013, "Lost connection"), True, Reason.DISCONNECTED),
        (psycopg.InterfaceError("something"), True, Reason.DISCONNECTED),
        (psycopg.InterfaceError("something"), False, Reason.DRIVER),
        (psycopg.errors.ReadOnlySqlTransaction("a text"), True, Reason.READ_ONLY),
        (asyncio.CancelledError(), True, Reason.CANCELLED),
    ],
)
def test_a_statement_whose_connection_broke_is_disconnected(
    error: BaseException, is_disconnect: bool, reason: Reason
) -> None:
    assert classify_statement(error, is_disconnect) is reason


def test_an_exact_inner_error_counts_more_than_a_guess_about_the_outer_one() -> None:
    error = psycopg.InterfaceError("something")
    error.__cause__ = TimeoutError("timed out")
    assert classify(error) is Reason.TIMEOUT


def test_the_first_member_of_a_group_with_a_reason_decides() -> None:
    members = [KeyError("name"), ConnectionRefusedError(111, "refused"), TimeoutError()]
    assert classify(ExceptionGroup("several", members)) is Reason.REFUSED


class Error(Exception): ...


class DataError(Error): ...


class IntegrityError(Error): ...


class NotSupportedError(Error): ...


class ProgrammingError(Error): ...


class InterfaceError(Error): ...


class InternalError(Error): ...


class OperationalError(Error): ...


class UniqueError(DataError): ...


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exc.TimeoutError("QueuePool limit of size 1"), Reason.POOL_TIMEOUT),
        (exc.NoSuchModuleError("Can't load plugin"), Reason.DRIVER),
        (exc.MissingGreenlet("greenlet_spawn has not been called"), Reason.DRIVER),
        (ModuleNotFoundError("No module named 'psycopg2'"), Reason.DRIVER),
        (exc.InvalidRequestError("anything"), None),
        (TimeoutError(), None),
    ],
)
def test_sqlalchemys_own_errors_have_their_reasons(error: Exception, reason: Reason | None) -> None:
    assert classify_sqlalchemy_error(error) is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError(), Reason.QUERY),
        (UniqueError(), Reason.QUERY),
        (IntegrityError(), Reason.OTHER),
        (NotSupportedError(), Reason.QUERY),
        (ProgrammingError(), Reason.QUERY),
        (InterfaceError(), Reason.DRIVER),
        (InternalError(), Reason.DRIVER),
        (OperationalError(), None),
        (exc.CompileError(), Reason.QUERY),
        (exc.InvalidRequestError(), Reason.QUERY),
        (KeyError(), None),
    ],
)
def test_the_class_of_an_error_suggests_a_reason(error: Exception, reason: Reason | None) -> None:
    assert classify_class(error) is reason


def raise_in(module: str, error: Exception) -> Exception:
    """The error after code of this module raised it."""
    code = ModuleType(module)
    exec("def fail(error): raise error", code.__dict__)  # noqa: S102 - a module of any name
    with pytest.raises(type(error)) as raised:
        code.fail(error)
    return raised.value


def test_a_bug_of_a_driver_has_the_reason_driver() -> None:
    error = raise_in("pymysql.connections", struct.error("unpack requires a buffer"))
    assert classify_class(error) is Reason.DRIVER


def test_a_type_error_of_other_code_has_no_reason() -> None:
    for module, text in (("exporter", "keyword argument"), ("sqlalchemy.engine", "a text")):
        assert classify_class(raise_in(module, TypeError(text))) is None


def test_a_bug_of_other_code_has_no_reason() -> None:
    error = raise_in("sqlalchemy_pool_exporter.probes", struct.error("unpack requires a buffer"))
    assert classify_class(error) is None


@pytest.mark.parametrize("error", [pymysql.OperationalError(), OSError(errno.EMFILE, "files")])
def test_an_error_that_a_driver_raises_on_purpose_is_not_a_bug(error: Exception) -> None:
    assert classify_class(raise_in("pymysql.connections", error)) is None


@pytest.mark.parametrize(
    "error",
    [
        exc.OperationalError("SELECT 1", (), Error()),
        exc.StatementError("a text", "SELECT 1", (), Error()),
    ],
)
def test_an_error_of_sqlalchemy_around_another_is_a_wrapper(error: Exception) -> None:
    assert is_wrapper(error)


def test_an_error_of_a_driver_is_not_a_wrapper() -> None:
    assert not is_wrapper(OperationalError())
