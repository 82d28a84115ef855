from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_pool_exporter.redaction import mask_secrets, mask_words

SECRET = "p@ss w/rd:%41'\"\\ü?"


def escape_hex(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
        quote(quote(SECRET, safe=""), safe=""),
        escape_hex(SECRET),
        repr(SECRET)[1:-1],
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        "p@ss w%2Frd:%2541'\"\\%c3%bc?",
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    assert mask_secrets(f"before {form} after", [SECRET]) == "before *** after"


def test_a_secret_is_masked_as_often_as_it_appears() -> None:
    assert mask_secrets("hunter2 and hunter2", ["hunter2"]) == "*** and ***"


def test_a_secret_that_begins_with_another_is_masked_whole() -> None:
    assert mask_secrets("hunter2hunter", ["hunter", "hunter2hunter"]) == "***"


def test_an_empty_secret_masks_nothing() -> None:
    assert mask_secrets("a text", ["", ""]) == "a text"


@pytest.mark.parametrize(
    ("text", "secret", "masked"),
    [
        ("role app of the application", "app", "role *** of the application"),
        ("a login as 'a', not as a", "a", "*** login as '***', not as ***"),
        ("db.example:1 with . and 1", ".", "db.example:1 with *** and 1"),
        ("postgres%3A%2F%2Fann%3Aapp%40db", "app", "postgres%3A%2F%2Fann%3A***%40db"),
        ("applications", "appl", "***ications"),
    ],
)
def test_a_short_secret_is_masked_as_a_whole_word_only(text: str, secret: str, masked: str) -> None:
    assert mask_secrets(text, [secret]) == masked


def test_what_looks_like_a_password_is_masked_without_being_known() -> None:
    text = "postgresql://ann:hunter2@db/shop?x=1 password=hunter2"
    assert "hunter2" not in mask_secrets(text, [])


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    for form in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
        masked = mask_secrets(f"{before}{form}{after}", [secret])
        assert all(form not in rest for rest in masked.split("***"))


def test_parameters_are_masked_as_whole_words_only() -> None:
    assert mask_words("1 of 11: 'ann' (annual)", ["1", "ann", ""]) == "*** of 11: '***' (annual)"


def test_a_parameter_that_begins_with_another_is_masked_whole() -> None:
    assert mask_words("for ann smith", ["ann", "ann smith"]) == "for ***"
