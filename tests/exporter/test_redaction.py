"""Passwords are masked, and other text stays as it is."""

import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_pool_exporter.redaction import (
    escape_unprintable,
    mask_secrets,
    redact,
    show_path,
    show_secret_path,
)

CANARY = "cAnArY-7"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://app:{CANARY}@db:5432/orders",
        f"cannot parse 'postgresql+nope://app:{CANARY}@db/orders'",
        f"postgresql://app:{CANARY}@with@at@db/orders",
        f"postgresql://app:x/{CANARY}/y@db/orders",
        f"postgresql://app:with space {CANARY}@db/orders",
        f"postgresql://app:123456 {CANARY}@db/orders",
        f"postgresql://:{CANARY}@db/orders",
        f"postgresql://app:%40{CANARY}%2F@db/orders",
        f"url=postgres://app:{CANARY}@db",
        f"postgresql:/app:{CANARY}@db",
        f"postgresql//app:{CANARY}@db",
        f"app:{CANARY}@db/orders",
        f"postgresql://db/orders?user=app&password={CANARY}",
        f"postgresql://db/orders?sslpassword={CANARY}&sslmode=require",
        f"host=db user=app password={CANARY} dbname=orders",
        f"host=db password='{CANARY} \\' {CANARY}' dbname=orders",
        f'host=db password = "{CANARY} {CANARY}"',
        f"{{'user': 'app', 'password': '{CANARY} {CANARY}'}}",
        f'{{"user": "app", "passwd": "{CANARY}"}}',
        f"PGPASSWORD={CANARY}",
        f"first line\npostgresql://app:{CANARY}@db\nlast line",
    ],
)
def test_password_is_masked_in_every_shape(text: str) -> None:
    assert CANARY not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "connection refused: 10.0.0.5:5432",
        "http://0.0.0.0:9723 is up",
        "serving on http://[::1]:9723 for somebody @ home",
        'password authentication failed for user "app"',
        "password_file: /run/secrets/password does not exist",
        "postgresql://app@db:5432/orders",
        "at 12:30:45 somebody@example.com wrote",
        'File "probe.py", line 3, in <module>',
        "line one\n  line two\n",
    ],
)
def test_text_without_a_password_stays_unchanged(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("secret", ["abc€xyz", "€", "пароль", "pass\udcff", "🔑"])
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "idna"])
def test_an_encoding_error_shows_no_character_and_no_place(secret: str, encoding: str) -> None:
    try:
        f"x{secret}".encode(encoding)
    except UnicodeError as error:
        shown = redact(str(error))
        assert "position" not in shown
        assert not any(form in shown for form in ("\\u", "\\U", "\\x", *secret.strip("abcxyzps")))


def test_a_decoding_error_shows_no_byte_and_no_place() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"pass\xfc".decode()
    assert redact(str(caught.value)) == "'utf-8' codec can't decode ***: invalid start byte"


def test_masked_url_keeps_its_host() -> None:
    masked = redact(f"cannot reach postgresql://app:{CANARY}@db:5432/orders in time")
    assert masked == "cannot reach postgresql://app:***@db:5432/orders in time"


@given(st.text())
def test_any_text_is_accepted(text: str) -> None:
    redact(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Z", "C"]), min_size=3).map("Q~".__add__))
def test_any_password_without_spaces_is_masked_in_a_url(password: str) -> None:
    assert password not in redact(f"postgresql://app:{password}@db/orders")


@pytest.mark.parametrize(
    "path", ["postgresql://app:x@db", "app:x@db", "password=x", "a\nb", "\udce9"]
)
def test_path_that_is_a_secret_or_unprintable_is_masked(path: str) -> None:
    assert show_path(path) == show_secret_path(Path(path)) == "***"


def test_single_word_in_place_of_a_secret_file_is_masked(tmp_path: Path) -> None:
    assert show_path("hunter2") == "hunter2"
    assert show_secret_path(Path("hunter2")) == "***"
    assert show_secret_path(tmp_path / "password") == str(tmp_path / "password")


def test_unprintable_text_is_escaped_on_one_line() -> None:
    assert escape_unprintable("two\nlines \x1b[31m \ud800 é") == r"two\nlines \x1b[31m \ud800 é"


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


def test_text_that_looks_like_a_password_is_masked_without_being_known() -> None:
    text = "postgresql://ann:hunter2@db/shop?x=1 password=hunter2"
    assert "hunter2" not in mask_secrets(text, [])


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    for form in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
        masked = mask_secrets(f"{before}{form}{after}", [secret])
        assert all(form not in rest for rest in masked.split("***"))


def test_parameters_are_masked_as_whole_words_only() -> None:
    assert (
        mask_secrets("1 of 11: 'ann' (annual)", [], ["1", "ann", ""]) == "*** of 11: '***' (annual)"
    )


def test_a_parameter_that_begins_with_another_is_masked_whole() -> None:
    assert mask_secrets("for ann smith", [], ["ann", "ann smith"]) == "for ***"
