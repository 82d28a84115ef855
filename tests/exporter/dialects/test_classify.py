from __future__ import annotations

import asyncio

import asyncpg
import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from sqlalchemy_pool_exporter.dialects import classify
from sqlalchemy_pool_exporter.dialects.classify import describe
from sqlalchemy_pool_exporter.failures import MEANINGS, PROBE_REASONS, Failure, Reason
from sqlalchemy_pool_exporter.failures.reason import broaden
from tests.exporter.open_databases import ask, open_database


def test_the_reasons_of_probes_are_the_closed_set_of_the_design() -> None:
    design = (
        "dns refused unreachable timeout tls auth no_database too_many_connections pool_timeout "
        "read_only query driver other"
    )
    assert [str(reason) for reason in PROBE_REASONS] == design.split()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_a_statement_has_one_of_a_probe(reason: Reason) -> None:
    assert broaden(reason) in PROBE_REASONS


def test_a_probe_whose_query_was_cancelled_has_the_reason_query() -> None:
    error = psycopg.errors.QueryCanceled("canceling statement due to user request")
    assert classify(error).reason is Reason.QUERY


def test_an_unknown_error_is_other_and_shows_its_class() -> None:
    assert classify(KeyError("name")) == Failure(Reason.OTHER, "KeyError: 'name'")


def test_an_unknown_error_without_a_text_says_so() -> None:
    assert classify(RuntimeError()) == Failure(Reason.OTHER, MEANINGS[Reason.OTHER])


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
    assert classify(error) == Failure(Reason.OTHER, MEANINGS[Reason.OTHER])


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
    assert classify(error) == Failure(Reason.TIMEOUT, MEANINGS[Reason.TIMEOUT])


def test_a_guess_is_better_than_nothing() -> None:
    assert classify(psycopg.InterfaceError("something")) == Failure(Reason.DRIVER, "something")


def test_secrets_and_parameters_do_not_become_part_of_the_message() -> None:
    driver = psycopg.OperationalError("hunter2 4711 hunter%32")
    error = exc.OperationalError("SELECT :card", {"card": 4711}, driver)
    assert classify(error, ["hunter2"]).message == "*** *** ***"


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


def test_the_values_of_a_row_do_not_become_part_of_the_message() -> None:
    fields = {"C": "23505", "M": "duplicate key", "D": "Key (card)=(4711) exists.", "S": "ERROR"}
    assert describe(asyncpg.PostgresError.new(fields)) == "duplicate key (SQLSTATE 23505)"


class FakeFieldsError(Exception):
    """As pg8000 raises them: with a server's fields by the protocol's letters."""


FakeFieldsError.__module__ = "pg8000.exceptions"


def test_the_fields_of_pg8000_have_the_text() -> None:
    fields = {"S": "FATAL", "C": "28P01", "M": "password authentication failed"}
    assert describe(FakeFieldsError(fields)) == "password authentication failed (SQLSTATE 28P01)"


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
