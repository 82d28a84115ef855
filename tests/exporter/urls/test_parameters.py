from __future__ import annotations

from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.urls.parameters import Parameters
from sqlalchemy_pool_exporter.urls.parts import URLError


def finish(parameters: Parameters, *known: str) -> list[str]:
    with pytest.raises(URLError) as caught:
        parameters.finish("driver", known)
    return [str(problem) for problem in caught.value.problems]


def test_the_last_of_equal_keys_counts() -> None:
    parameters = Parameters([("a", "1"), ("a", "2")])
    assert parameters.get("a") == "2"
    assert parameters.get_all("a") == ["1", "2"]
    assert parameters.list_items() == [("a", "2")]
    assert parameters.list_items("a") == []


def test_values_have_types() -> None:
    parameters = Parameters(
        [("int", "-5"), ("seconds", "2.5"), ("forever", "0"), ("yes", "True"), ("no", "0")]
    )
    assert parameters.get_int("int") == -5
    assert parameters.get_seconds("seconds") == 2.5
    assert parameters.get_seconds("forever") is None
    assert parameters.get_bool("yes") is True
    assert parameters.get_bool("no") is False
    parameters.finish("driver", ["int", "seconds", "forever", "yes", "no"])


def test_missing_values_are_none() -> None:
    parameters = Parameters([])
    readers = (
        parameters.get,
        parameters.get_int,
        parameters.get_seconds,
        parameters.get_bool,
        parameters.get_file,
    )
    assert [reader("missing") for reader in readers] == [None] * 5
    assert parameters.get_choice("missing", ["a"]) is None
    parameters.finish("driver", [])


def test_all_wrong_values_are_reported_at_once() -> None:
    parameters = Parameters([("a", "x"), ("b", "1e5"), ("c", "maybe"), ("d", "blue")])
    assert parameters.get_int("a") is None
    assert parameters.get_seconds("b") is None
    assert parameters.get_bool("c") is None
    assert parameters.get_choice("d", ["red", "green"]) is None
    assert finish(parameters, "a", "b", "c", "d") == [
        "got a=x, expected a whole number",
        "got b=1e5, expected a number of seconds",
        "got c=maybe, expected true or false",
        "got d=blue, expected one of red, green",
    ]


def test_a_value_with_another_parameter_in_it_is_not_shown() -> None:
    parameters = Parameters([("sslmode", "requireuser=canary")])
    parameters.get_choice("sslmode", ["require"])
    assert finish(parameters, "sslmode") == ["got sslmode=***, expected one of require"]


def test_a_file_must_be_readable_or_a_word(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    missing, folder = tmp_path / "no.pem", tmp_path
    parameters = Parameters(
        [("a", str(file)), ("b", "system"), ("c", str(missing)), ("d", str(folder))]
    )
    assert parameters.get_file("a") == str(file)
    assert parameters.get_file("b", "system") == "system"
    assert parameters.get_file("c") is None
    assert parameters.get_file("d") is None
    assert finish(parameters, "a", "b", "c", "d") == [
        f"got c={missing}, expected a readable file (no such file or directory)",
        f"got d={folder}, expected a readable file (is a directory)",
    ]


def test_an_unknown_key_suggests_the_nearest() -> None:
    parameters = Parameters([("sslmod", "x"), ("zzz", "canary"), ("other", "canary")])
    with pytest.raises(URLError) as caught:
        parameters.finish("asyncpg", ["sslmode", "host"], {"other": "psycopg for this"})
    assert [str(problem) for problem in caught.value.problems] == [
        "got parameter sslmod, expected a parameter asyncpg knows: did you mean sslmode?",
        "got parameter zzz, expected a parameter asyncpg knows",
        "got parameter other, expected psycopg for this",
    ]


def test_a_key_that_is_not_a_name_is_not_shown() -> None:
    assert finish(Parameters([("can@ary", "x")])) == [
        "got parameter ***, expected a parameter driver knows"
    ]
