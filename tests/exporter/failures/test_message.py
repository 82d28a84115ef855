from __future__ import annotations

import asyncpg
import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from sqlalchemy_pool_exporter.failures.message import MAX_LENGTH, build_message, describe


def build(text: str, *secrets: str) -> str:
    return build_message(RuntimeError(), text, secrets)


def test_a_message_is_one_line() -> None:
    assert build("one\n\ttwo\r\n  three") == "one two three"


def test_control_characters_of_a_server_do_not_reach_the_log() -> None:
    assert build("a\x1b[31mred\x00\u2028\u202e") == "a [31mred"


def test_a_long_message_is_cut() -> None:
    message = build("x" * 1000)
    assert len(message) == MAX_LENGTH
    assert message.endswith("x…")


def test_a_message_of_just_the_length_is_whole() -> None:
    assert build("x" * MAX_LENGTH) == "x" * MAX_LENGTH


def test_a_secret_at_the_cut_leaves_no_part_of_itself() -> None:
    message = build("x" * (MAX_LENGTH - 5) + "s3cretpassword", "s3cretpassword")
    assert "s3c" not in message


def test_a_secret_with_white_space_is_masked_before_lines_are_joined() -> None:
    assert build("before two\n  lines after", "two\n  lines") == "before *** after"


@pytest.mark.parametrize(
    "parameters", [("4711",), {"card": "4711"}, [{"card": "4711"}], (4711,), ([4711, None],)]
)
def test_parameters_of_the_statement_are_masked(parameters: object) -> None:
    error = exc.DataError("SELECT :card", parameters, psycopg.DataError())  # type: ignore[arg-type]
    assert build_message(error, 'invalid card: "4711"', ()) == 'invalid card: "***"'


def test_the_beginning_of_a_long_parameter_is_masked() -> None:
    shown = repr("secret-" * 20)[:40]
    error = exc.DataError("SELECT :x", {"x": "secret-" * 20}, psycopg.DataError())
    assert "secret" not in build_message(error, f"query argument $1: {shown}... (wrong)", ())


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


def test_an_error_of_the_system_speaks_for_itself() -> None:
    assert describe(OSError(111, "Connection refused")) == "[Errno 111] Connection refused"


@pytest.mark.parametrize("error", [TimeoutError(), exc.TimeoutError(), KeyError()])
def test_an_error_that_says_nothing_has_no_description(error: Exception) -> None:
    assert describe(error) == ""
