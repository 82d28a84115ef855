from __future__ import annotations

import asyncio
import errno
import sqlite3
import struct
from types import ModuleType

import asyncpg
import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from sqlalchemy_pool_exporter.dialects import classify
from sqlalchemy_pool_exporter.dialects.classify import (
    classify_class,
    classify_sqlalchemy_error,
    describe,
    is_wrapper,
)
from sqlalchemy_pool_exporter.failures import Failure, Reason
from tests.exporter.open_databases import ask, open_database


def build_sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("a text")
    error.sqlite_errorcode = code
    return error


def test_the_reasons_are_the_closed_set_of_the_design() -> None:
    design = (
        "dns refused unreachable timeout tls auth no_database too_many_connections pool_timeout "
        "read_only query driver other"
    )
    assert [str(reason) for reason in Reason] == design.split()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_meaning_for_errors_that_say_nothing(reason: Reason) -> None:
    assert reason.meaning


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
    assert classify(error).reason is reason


def test_the_number_of_a_mysql_error_says_more_than_its_sqlstate() -> None:
    # The SQLSTATE of error 1044 is the one of a syntax error.
    error = pymysql.OperationalError(1044, "Access denied")
    error.sqlstate = "42000"
    assert classify(error).reason is Reason.AUTH


def test_an_unknown_error_is_other_and_shows_its_class() -> None:
    assert classify(KeyError("name")) == Failure(Reason.OTHER, "KeyError: 'name'")


def test_an_unknown_error_without_a_text_says_so() -> None:
    assert classify(RuntimeError()) == Failure(Reason.OTHER, Reason.OTHER.meaning)


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class SpeechlessOSError(SpeechlessError, OSError):
    pass


class SpeechlessUnicodeError(SpeechlessError, UnicodeError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        SpeechlessError(),
        SpeechlessOSError(),
        SpeechlessUnicodeError(),
        exc.SQLAlchemyError(SpeechlessError()),
        exc.StatementError("failed", "SELECT 1", {"x": SpeechlessError()}, SpeechlessError()),
    ],
)
def test_an_error_whose_text_cannot_be_read_is_one_without_a_text(error: Exception) -> None:
    assert classify(error) == Failure(Reason.OTHER, Reason.OTHER.meaning)


def test_a_mysql_error_whose_text_cannot_be_read_has_its_number() -> None:
    assert classify(pymysql.OperationalError(1045, SpeechlessError())).message == "(error 1045)"


def test_an_error_of_a_driver_is_found_in_sqlalchemys_wrapper() -> None:
    error = exc.OperationalError("SELECT 1", {}, pymysql.OperationalError(1040, "Too many"))
    assert classify(error) == Failure(Reason.TOO_MANY_CONNECTIONS, "Too many (error 1040)")


def test_the_cause_gives_the_reason_and_the_outer_error_the_text() -> None:
    error = pymysql.OperationalError(2003, "Can't connect to 'db' ([Errno 111] refused)")
    error.__context__ = ConnectionRefusedError(111, "refused")
    assert classify(error) == Failure(
        Reason.REFUSED, "Can't connect to 'db' ([Errno 111] refused) (error 2003)"
    )


def test_an_outer_error_that_is_not_a_drivers_gives_no_text() -> None:
    error = RuntimeError("the probe failed")
    error.__cause__ = ConnectionRefusedError(111, "refused")
    assert classify(error) == Failure(Reason.REFUSED, "[Errno 111] refused")


def test_a_deadline_that_ran_out_is_a_timeout_whatever_it_interrupted() -> None:
    error = TimeoutError()
    error.__cause__ = asyncio.CancelledError()
    error.__cause__.__context__ = ConnectionRefusedError(111, "refused")
    assert classify(error) == Failure(Reason.TIMEOUT, Reason.TIMEOUT.meaning)


def test_an_exact_inner_error_counts_more_than_a_guess_about_the_outer_one() -> None:
    error = psycopg.InterfaceError("something")
    error.__cause__ = TimeoutError("timed out")
    assert classify(error).reason is Reason.TIMEOUT


def test_a_guess_is_better_than_nothing() -> None:
    assert classify(psycopg.InterfaceError("something")) == Failure(Reason.DRIVER, "something")


def test_the_first_member_of_a_group_with_a_reason_decides() -> None:
    members = [KeyError("name"), ConnectionRefusedError(111, "refused"), TimeoutError()]
    assert classify(ExceptionGroup("several", members)).reason is Reason.REFUSED


def test_secrets_and_parameters_do_not_become_part_of_the_message() -> None:
    driver = psycopg.OperationalError("hunter2 4711 hunter%32")
    error = exc.OperationalError("SELECT :card", {"card": 4711}, driver)
    assert classify(error, ["hunter2"]).message == "*** *** ***"


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
        (IntegrityError(), Reason.QUERY),
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


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://", "postgresql+psycopg://", "mysql+pymysql://", "sqlite://"]
)
async def test_an_unknown_argument_of_connect_has_the_reason_driver(url: str) -> None:
    async with open_database(url, connect_args={"nonsense": 1}) as database:
        with pytest.raises(Exception, match="nonsense") as caught:
            await ask(database, "SELECT 1", fresh=True)
    failure = classify(caught.value)
    assert failure.reason is Reason.DRIVER
    assert "nonsense" in failure.message


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


def test_the_values_of_a_row_do_not_become_part_of_the_message() -> None:
    fields = {"C": "23505", "M": "duplicate key", "D": "Key (card)=(4711) exists.", "S": "ERROR"}
    assert describe(asyncpg.PostgresError.new(fields)) == "duplicate key (SQLSTATE 23505)"


def test_the_statement_does_not_become_part_of_the_message() -> None:
    error = psycopg.errors.SyntaxError('error near "x"\nLINE 1: SELECT x 4711\n               ^')
    assert describe(error) == 'error near "x" (SQLSTATE 42601)'


def test_a_mysql_error_is_described_without_its_tuple() -> None:
    error = pymysql.OperationalError(1040, "Too many connections")
    assert describe(error) == "Too many connections (error 1040)"


def test_sqlalchemys_links_do_not_become_part_of_the_message() -> None:
    assert describe(exc.TimeoutError("QueuePool limit", code="3o7r")) == "QueuePool limit"


def test_an_error_that_says_little_is_described_with_its_class() -> None:
    assert describe(KeyError("name")) == "KeyError: 'name'"


def test_an_os_error_is_described_without_its_class() -> None:
    assert describe(OSError(111, "Connection refused")) == "[Errno 111] Connection refused"


@pytest.mark.parametrize("error", [TimeoutError(), exc.TimeoutError(), KeyError()])
def test_an_error_that_says_nothing_has_no_description(error: Exception) -> None:
    assert describe(error) == ""
