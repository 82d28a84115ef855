from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from sqlalchemy_pool_exporter.settings.fields import (
    Address,
    AddressError,
    parse_address,
    parse_duration,
    parse_optional_duration,
    parse_positive_duration,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("15s", 15),
        ("500ms", 0.5),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172800),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        (" 15s ", 15),
        ("20", 20),
        ("0.25", 0.25),
        (20, 20),
        (0.25, 0.25),
        (0, 0),
    ],
)
def test_a_duration_is_a_number_of_seconds(value: object, seconds: float) -> None:
    assert parse_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        *("", "s", "15 s", "15x", "-5s", "1e3", "\u0661s", "15s extra", "nan", "9" * 400),
        *(None, True, [], -1, -0.1, float("nan"), float("inf")),
    ],
)
def test_other_values_are_errors_that_show_the_form(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="a duration like 500ms, 15s, 5m or 1h"):
        parse_duration(value)


@pytest.mark.parametrize("value", [0, "0s", "0"])
def test_zero_is_not_a_positive_duration(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="above zero"):
        parse_positive_duration(value)


@pytest.mark.parametrize("value", [None, "null", "None", "never", -1, "-1"])
def test_never_is_none(value: object) -> None:
    assert parse_optional_duration(value) is None


def test_an_optional_duration_may_be_given() -> None:
    assert parse_optional_duration("30m") == 1800


@given(st.text() | st.integers() | st.floats())
def test_any_value_is_a_duration_or_an_error(value: object) -> None:
    try:
        seconds = parse_duration(value)
    except PydanticCustomError:
        return
    assert 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:9723", Address("0.0.0.0", 9723)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:80", Address("localhost", 80)),
        (":9723", Address("", 9723)),
        ("[::1]:9723", Address("::1", 9723)),
        ("[::]:9723", Address("::", 9723)),
    ],
)
def test_an_address_is_written_as_it_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "9723", "localhost", "localhost:", "localhost:http", "::1:9723", "host:65536", "a b:1",
     "http://localhost:9723", "host:-1", "host:9723/metrics", "host:9723\n"],
)  # fmt: skip
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert str(caught.value).startswith(f"got {text!r}, expected host:port like 0.0.0.0:9723")
