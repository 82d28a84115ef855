from __future__ import annotations

import pytest

from sqlalchemy_pool_exporter.settings import SettingsError, SettingsErrors
from sqlalchemy_pool_exporter.settings.errors import render_key, show_value


def test_an_error_is_one_line_with_key_place_value_and_expectation() -> None:
    error = SettingsError("log.level", "got 'loud'", "debug or info", "line 3")
    assert str(error) == "log.level (line 3): got 'loud', expected debug or info"
    assert str(SettingsError("url", "missing", "a URL").below("databases.a")) == (
        "databases.a.url: missing, expected a URL"
    )


def test_unprintable_characters_are_escaped() -> None:
    error = SettingsError("two\nlines", "got \udcff", "\x1b[31m red")
    assert str(error) == r"two\nlines: got \udcff, expected \x1b[31m red"


def test_several_errors_are_one_line_each() -> None:
    errors = SettingsErrors([SettingsError("a", "missing", "x"), SettingsError("b", "got 1", "y")])
    assert str(errors) == "a: missing, expected x\nb: got 1, expected y"
    assert errors.key == "a"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ("x", "'x'"),
        ("two\nlines", "'two\\nlines'"),
        ("x" * 100, repr("x" * 60 + "...")),
        ("postgres://db", "***"),
        ("app:x@db", "***"),
        ("my password", "***"),
        ("-----BEGIN PRIVATE KEY-----\nx", "***"),
        ("requirepasswd=x", "***"),
        ({"password": "x"}, "a mapping"),
        (["x"], "a list"),
        ({"x"}, "a list"),
        (10**100, f"1{'0' * 59}..."),
    ],
)
def test_a_value_is_shown_short_and_never_if_it_may_be_a_secret(value: object, shown: str) -> None:
    assert show_value(value) == shown


def test_a_key_that_is_not_a_plain_name_is_masked() -> None:
    assert render_key(["databases", "a-b_1", "x y", "app:secret@db"]) == "databases.a-b_1.***.***"


def test_a_number_too_long_for_python_to_render_is_not_shown() -> None:
    assert show_value(10**5000) == "a number too long to show"
