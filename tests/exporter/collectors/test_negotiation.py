"""What a client asks for with its headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_pool_exporter.collectors.exposition import accepts_gzip, parse_preferences


def test_entries_come_by_weight_and_then_as_written() -> None:
    header = "a/a;q=0.5, b/b, c/c;q=0.5;v=1, d/d;q=0"
    assert [entry.value for entry in parse_preferences(header)] == ["b/b", "a/a", "c/c", "d/d"]


def test_parameters_are_read_without_the_weight() -> None:
    (entry,) = parse_preferences('Text/Plain; Version="0.0.4"; q=0.3')
    assert entry.value == "text/plain"
    assert entry.weight == 0.3
    assert entry.parameters == {"version": "0.0.4"}


@pytest.mark.parametrize("weight", ["2", "-1", "nan", "inf", "high", ""])
def test_entry_without_a_readable_weight_is_left_out(weight: str) -> None:
    assert parse_preferences(f"text/plain;q={weight}") == []


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("xgzip", False),
    ],
)
def test_gzip_only_for_who_asks_for_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@given(st.text(alphabet='abq=;,/*."0123456789 -') | st.text())
def test_any_header_can_be_read(header: str) -> None:
    parse_preferences(header)
    accepts_gzip(header)
