from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_pool_exporter.urls.parts import (
    Host,
    URLError,
    URLParts,
    collect_secrets,
    parse_host,
    split_url,
)


def test_a_url_splits_into_its_parts_percent_decoded() -> None:
    parts = split_url("postgresql+psycopg2://us%40er:p%2Fw@db.example:5433/or%20ders?a=1&b=x+y&a=2")
    assert (parts.backend, parts.driver) == ("postgresql", "psycopg2")
    assert (parts.username, parts.password) == ("us@er", "p/w")
    assert parts.hosts == (Host("db.example", 5433),)
    assert parts.database == "or ders"
    assert parts.query == (("a", "1"), ("b", "x y"), ("a", "2"))


def test_missing_parts_are_none() -> None:
    parts = split_url("mysql://")
    assert (parts.driver, parts.username, parts.password, parts.database) == (None,) * 4
    assert parts.hosts == ()


def test_an_unencoded_at_sign_in_the_password_is_understood() -> None:
    parts = split_url("postgres://app:p@ss@w@db/orders")
    assert (parts.username, parts.password, parts.hosts) == ("app", "p@ss@w", (Host("db"),))


def test_a_user_name_may_hold_an_at_sign_as_on_azure() -> None:
    parts = split_url("postgres://app@server:pw@server.example/orders")
    assert (parts.username, parts.password) == ("app@server", "pw")


def test_a_password_may_hold_percent_signs_hashes_and_colons() -> None:
    assert split_url("postgres://app:50%#a:b@db/orders").password == "50%#a:b"


def test_an_empty_password_is_not_a_missing_one() -> None:
    assert split_url("postgres://app:@db/orders").password == ""
    assert split_url("postgres://app@db/orders").password is None


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("db", Host("db")),
        ("db:5432", Host("db", 5432)),
        ("db:", Host("db")),
        ("[::1]", Host("::1")),
        ("[fe80::1%25eth0]:5432", Host("fe80::1%eth0", 5432)),
        ("::1", Host("::1")),
        ("/run/postgresql", Host("/run/postgresql")),
        ("%2Frun%2Fpostgresql", Host("/run/postgresql")),
        ("/cloudsql/project:region:instance", Host("/cloudsql/project:region:instance")),
        ("", Host("")),
        ("db:port", None),
        ("db:65536", None),
        ("[::1", None),
        ("a b", None),
    ],
)
def test_a_host_is_a_name_an_address_or_a_folder(text: str, host: Host | None) -> None:
    assert parse_host(text) == host


def test_hosts_render_as_in_urls() -> None:
    hosts = (Host("db"), Host("::1", 1), Host("/cloudsql/a:b"))
    assert [str(host) for host in hosts] == ["db", "[::1]:1", "/cloudsql/a:b"]


def test_several_hosts_have_a_port_each() -> None:
    parts = split_url("postgres://app@a:1,[::2]:2,c/db")
    assert parts.hosts == (Host("a", 1), Host("::2", 2), Host("c"))


def test_a_path_may_hold_at_signs() -> None:
    assert split_url("sqlite:////srv/a@b.db", {"sqlite"}).database == "/srv/a@b.db"


def test_white_space_around_the_url_is_dropped() -> None:
    assert split_url(" postgres://db/orders\n").database == "orders"


def test_secrets_are_known_raw_decoded_and_encoded() -> None:
    parts = split_url("postgres://app:p%2fw@db/x?sslpassword=k%20ey&passfile=/etc/pass")
    assert set(parts.secrets) == {"p%2fw", "p/w", "p%2Fw", "k ey", "k%20ey"}


def test_secrets_inside_of_values_are_found() -> None:
    parts = split_url("mssql://?odbc_connect=SERVER%3Ddb%3BPWD%3D%7Bcanary%7D%3BUID%3Dme")
    assert "canary" in parts.secrets


def test_longer_secrets_come_first_so_that_masking_leaves_no_rest() -> None:
    assert collect_secrets("ab", None, "", "abc") == ("abc", "ab")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary",
        "app:canary@db/orders",
        "postgres:app:canary@db",
        "postgres//app:canary@db",
        "jdbc:postgresql://app:canary@db/orders",
        "post-gres://app:canary@db/orders",
        "postgres://app:can\nary@db/orders",
        "postgres://app:can\0ary@db/orders",
        "postgres://app:12?can=ary@db/orders",
        "postgres://db:12/can?x=ary@db",
        "postgres://app:x@db/orders?can@ary=12",
        "postgres://app:x@db?can=ary@db/12",
        "postgres://app:x@can/ary@db/orders",
        "postgres:///app:canary@db/orders",
        "postgres://app:canary",
        "postgres://app:x@db:canary/orders",
        "postgres://app:x@canary:99999/orders",
        "postgres://app:x@[canary/orders",
        "postgres://app:x@a,canary:b/orders",
    ],
)
def test_a_malformed_url_is_an_error_that_shows_none_of_it(text: str) -> None:
    with pytest.raises(URLError, match="expected") as caught:
        split_url(text)
    assert not any(piece in str(caught.value) for piece in ("can", "ary", "12"))
    assert caught.value.__context__ is None


def split_or_complain(text: str) -> URLParts | str:
    try:
        return split_url(text)
    except URLError as error:
        return str(error)


@given(st.text())
def test_any_text_is_a_url_or_a_url_error(text: str) -> None:
    for prefix in ("", "postgres://", "sqlite:///", "postgres://u:"):
        split_or_complain(prefix + text)


SECRET = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=6)


@given(SECRET)
def test_an_unencoded_password_is_understood_whole_or_not_shown(secret: str) -> None:
    parts = split_or_complain(f"postgresql://app:{secret}@db.example/orders")
    if isinstance(parts, str):
        assert secret not in parts
        return
    assert secret in parts.secrets
    assert parts.hosts == (Host("db.example"),)
