from __future__ import annotations

import sys
import traceback

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlalchemy_pool_exporter.urls import URLError, parse_url

CANARY = "canary"


def test_a_url_is_ready_for_its_driver() -> None:
    url = parse_url("postgres://app:p%40ss@db:5433/orders?application_name=x")
    assert url.is_async
    assert url.url.render_as_string(hide_password=False) == (
        "postgresql+asyncpg://app:p%40ss@db:5433/orders"
    )
    assert url.connect_args == {"server_settings": {"application_name": "x"}}
    assert (url.url.host, url.url.port, url.database) == ("db", 5433, "orders")


def test_the_safe_form_and_the_repr_show_no_password_and_no_parameters() -> None:
    url = parse_url(f"postgres://app:{CANARY}@a:1,[::1]/orders?options={CANARY}&password={CANARY}")
    assert url.safe == "postgresql+asyncpg://app:***@a:1,[::1]/orders"
    assert repr(url) == f"<DatabaseURL {url.safe}>"
    assert CANARY not in str(url)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("postgres://db", "postgresql+asyncpg://db/"),
        ("postgres://app@db", "postgresql+asyncpg://app@db/"),
        ("postgres:///orders", "postgresql+asyncpg:///orders"),
        ("mysql://:x@db", "mysql+pymysql://:***@db/"),
        ("sqlite://", "sqlite+pysqlite:///"),
    ],
)
def test_missing_parts_stay_missing(text: str, safe: str) -> None:
    assert parse_url(text).safe == safe


def test_a_given_password_replaces_the_url_s_and_both_are_secrets() -> None:
    url = parse_url("postgres://app:old@db/orders", password="n@w")
    assert url.url.password == "n@w"
    assert set(url.secrets) == {"old", "n@w", "n%40w"}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg", "mysql", "sqlite"])
def test_what_is_meant_for_the_app_s_engine_is_dropped(scheme: str) -> None:
    url = parse_url(f"{scheme}:///orders?plugin=pool_metrics&plugin=other&pool_name=main")
    assert "pool" not in url.url.render_as_string() + repr(url.connect_args)
    assert "plugin" not in url.url.render_as_string() + repr(url.connect_args)


@pytest.fixture
def unknown_dialect() -> str:
    """A third party's dialect, about which nothing is known here."""

    class UnknownDialect(SQLiteDialect_pysqlite):
        name = "unknown"

    module = sys.modules[__name__]
    module.UnknownDialect = UnknownDialect  # type: ignore[attr-defined]
    registry.register("unknown", __name__, "UnknownDialect")
    registry.register("unknown.pysqlite", __name__, "UnknownDialect")
    return "unknown"


def test_an_unknown_dialect_gets_its_parameters_as_they_are(unknown_dialect: str) -> None:
    url = parse_url(f"{unknown_dialect}://app:{CANARY}@db:1/orders?a=b")
    assert url.safe == "unknown+pysqlite://app:***@db:1/orders"
    assert dict(url.url.query) == {"a": "b"}
    assert parse_url(f"{unknown_dialect}:///orders").hosts == ()
    with pytest.raises(URLError, match="got host=a,b, expected one host"):
        parse_url(f"{unknown_dialect}://a,b/orders")


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://app:{CANARY}@db/orders?sslmode=nope&foo={CANARY}",
        f"postgres://app:{CANARY}@db/orders?password={CANARY}&port=x",
        f"postgres://app:{CANARY}@db/orders?sslpassword={CANARY}&connect_timeout=x",
        f"postgresql+psycopg://app:{CANARY}@db/orders?nope={CANARY}",
        f"postgresql+nope://app:{CANARY}@db/orders",
        f"postgresql+pg8000://app:{CANARY}@db/orders",
        f"nope://app:{CANARY}@db/orders",
        f"mysql://app:{CANARY}@a,b/orders?passwd={CANARY}",
        f"mysql+nope://app:{CANARY}@db/orders",
        f"mysql://app:{CANARY}@db/orders?ssl_key_password={CANARY}&ssl-mode=x",
        f"sqlite://app:{CANARY}@db/orders",
        f"postgres://app:x/{CANARY}@db/orders",
        f"postgres://app:1/{CANARY}@db/orders",
        f"postgres://app:x?{CANARY}@db/orders",
        f"postgres://app:x@db:{CANARY}",
        f"app:{CANARY}@db",
        f"postgres://app:{CANARY}",
    ],
)
def test_an_error_and_its_traceback_never_show_a_password(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(URLError) as caught:
        parse_url(text)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in shown.replace(text, "")
