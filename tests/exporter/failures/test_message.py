from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import exc

from sqlalchemy_pool_exporter.failures.message import MAX_LENGTH, build_message


def build(text: str, *secrets: str) -> str:
    return build_message(RuntimeError(), text, secrets)


def test_a_message_is_one_line() -> None:
    assert build("one\n\ttwo\r\n  three") == "one two three"


def test_control_characters_of_a_server_do_not_reach_the_log() -> None:
    assert build("a\x1b[31mred\x00\u2028\u202e") == r"a\x1b[31mred\x00 \u202e"


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
