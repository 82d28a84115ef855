from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlalchemy_pool_exporter.dialects import Endpoint, build_endpoint, parse_url
from sqlalchemy_pool_exporter.urls import Host, URLError

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


def test_a_given_password_replaces_the_urls_and_both_are_secrets() -> None:
    url = parse_url("postgres://app:old@db/orders", password="n@w")
    assert url.url.password == "n@w"
    assert set(url.secrets) == {"old", "n@w", "n%40w"}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg", "mysql", "sqlite"])
def test_parameters_for_the_applications_engine_are_dropped(scheme: str) -> None:
    url = parse_url(f"{scheme}:///orders?plugin=pool_metrics&plugin=other&pool_name=main")
    assert "pool" not in url.url.render_as_string() + repr(url.connect_args)
    assert "plugin" not in url.url.render_as_string() + repr(url.connect_args)


@pytest.fixture
def unknown_dialect() -> str:
    """A third party's dialect without a record."""

    class UnknownDialect(SQLiteDialect_pysqlite):
        name = "unknown"
        driver = "odd"

    module = sys.modules[__name__]
    module.UnknownDialect = UnknownDialect  # type: ignore[attr-defined]
    registry.register("unknown", __name__, "UnknownDialect")
    registry.register("unknown.odd", __name__, "UnknownDialect")
    return "unknown"


def test_an_unknown_dialect_gets_its_parameters_unchanged(unknown_dialect: str) -> None:
    url = parse_url(f"{unknown_dialect}://app:{CANARY}@db:1/orders?a=b")
    assert url.safe == "unknown+odd://app:***@db:1/orders"
    assert dict(url.url.query) == {"a": "b"}
    assert parse_url(f"{unknown_dialect}:///orders").hosts == ()
    assert parse_url(f"{unknown_dialect}://a,b/orders").url.host == "a,b"


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://app:{CANARY}@db/orders?sslmode=nope&foo={CANARY}",
        f"postgres://app:{CANARY}@db/orders?password={CANARY}&port=x",
        f"postgres://app:{CANARY}@db/orders?sslpassword={CANARY}&connect_timeout=x",
        f"postgresql+psycopg://app:{CANARY}@db/orders?nope={CANARY}",
        f"postgresql+nope://app:{CANARY}@db/orders",
        f"oracle+cx_oracle://app:{CANARY}@db/orders",
        f"nope://app:{CANARY}@db/orders",
        f"mysql://app:{CANARY}@a,b/orders?passwd={CANARY}",
        f"mysql+nope://app:{CANARY}@db/orders",
        f"mysql://app:{CANARY}@db/orders?ssl_key_password={CANARY}&ssl-mode=x",
        f"sqlite://app:{CANARY}@db/orders",
        f"postgres://app:x@y/{CANARY}@db/orders",
        f"postgres://app:x@y?{CANARY}=1@db",
        f"postgres://app:x@y?z={CANARY}&{CANARY}=1@db",
        f"postgres://app:x@y?{CANARY}@db",
        f"postgres://db:5432/orders?user=app&password={CANARY}@{CANARY}",
        f"postgres://app:x@db:{CANARY}",
        f"app:{CANARY}@db",
        f"postgres://app:{CANARY}",
    ],
)
def test_an_error_and_its_traceback_never_show_a_password(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cx_Oracle", None)
    with pytest.raises(URLError) as caught:
        parse_url(text)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in shown.replace(text, "")


SOCKET = "/var/run/postgresql"


def read(url: str) -> Endpoint | None:
    return parse_url(url).endpoint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://a@db/shop", "postgresql+psycopg://b:secret@db:5432/shop?sslmode=prefer"),
        ("postgresql://DB.Example/shop", "postgresql://db.example/shop"),
        ("postgresql://[::1]/shop", "postgresql://[0:0:0:0:0:0:0:1]:5432/shop"),
        ("postgresql://one:1,two:2/shop", "postgresql:///shop?host=two:2&host=one:1"),
        ("postgresql://one,two/shop", "postgresql:///shop?host=one,two&port=5432"),
        (f"postgresql:///shop?host={SOCKET}", f"postgresql:///shop?host={SOCKET}/&port=5432"),
        ("postgresql:///shop", "postgresql+psycopg:///shop"),
        ("mysql+pymysql://db/shop", "mariadb+pymysql://db:3306/shop"),
        ("mysql+pymysql:///shop?unix_socket=/a", "mysql+pymysql://db/shop?unix_socket=/a"),
        ("sqlite:////data/shop.db", "sqlite:////data/../data/shop.db"),
        ("sqlite:////data/a b.db", "sqlite:///file:/data/a%20b.db?mode=ro&uri=true"),
        ("sqlite:////data/shop.db", "sqlite:///file:///data/shop.db?uri=true"),
    ],
)
def test_urls_of_one_database_have_equal_endpoints(one: str, other: str) -> None:
    assert read(one) == read(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://db/shop", "postgresql://db/orders"),
        ("postgresql://db/shop", "postgresql://db/Shop"),
        ("postgresql://db/shop", "postgresql://db:5433/shop"),
        ("postgresql://db/shop", "mysql+pymysql://db/shop"),
        ("postgresql://localhost/shop", "postgresql://127.0.0.1/shop"),
        ("postgresql://localhost/shop", "postgresql:///shop"),
        ("postgresql:///shop", f"postgresql:///shop?host={SOCKET}"),
        ("postgresql:///shop?port=5433", "postgresql:///shop"),
        ("postgresql://one,two/shop", "postgresql://one/shop"),
        (f"postgresql:///shop?host={SOCKET}", f"postgresql:///shop?host={SOCKET}&port=5433"),
        (f"postgresql:///shop?host={SOCKET}", f"postgresql:///shop?host={SOCKET.upper()}"),
        ("sqlite:////data/shop.db", "sqlite:////data/orders.db"),
    ],
)
def test_urls_of_different_databases_have_different_endpoints(one: str, other: str) -> None:
    assert read(one) != read(other)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app@db",
        "mysql+pymysql://app@db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:shop?mode=memory&uri=true",
    ],
)
def test_a_url_that_names_no_place_has_no_endpoint(url: str) -> None:
    assert read(url) is None


def test_a_relative_file_is_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read("sqlite:///shop.db") == read(f"sqlite:///{os.getcwd()}/shop.db")  # noqa: PTH109


def test_a_file_database_behind_a_host_is_no_file() -> None:
    assert build_endpoint("sqlite", [Host("db", 8080)], "shop") == Endpoint(
        frozenset({("db", 8080)}), "shop"
    )


FREE_HOSTS = [
    r"db.example\SQLEXPRESS",
    "shop_alias",
    "Shop Warehouse",
    "one,two",
    "(DESCRIPTION = (ADDRESS = (PROTOCOL = TCP)(HOST = db)(PORT = 1521)) (SID = shop))",
    "%61lias",
    "::1",
]


@pytest.mark.parametrize("host", FREE_HOSTS)
def test_what_only_the_driver_understands_reaches_it_as_in_sqlalchemy(
    unknown_dialect: str, host: str
) -> None:
    text = f"{unknown_dialect}://app:{CANARY}@{f'[{host}]' if ':' in host else host}:1433/shop"
    url, expected = parse_url(text), make_url(text)
    assert (url.url.host, url.url.port) == (expected.host, expected.port) == (host, 1433)


@pytest.mark.parametrize("password", ["pa?ss", "pa/ss", "12/34", "/", "a?b=c&d/e:f#g", "a\u00a0b"])
@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql", "unknown"])
@pytest.mark.usefixtures("unknown_dialect")
def test_a_password_is_read_as_sqlalchemy_reads_it_and_is_a_secret(
    scheme: str, password: str
) -> None:
    text = f"{scheme}://app:{password}@db:1/shop"
    url = parse_url(text)
    assert url.url.password == make_url(text).password == password
    assert password in url.secrets
    assert url.safe == f"{scheme.partition('+')[0]}+{url.url.get_driver_name()}://app:***@db:1/shop"


def test_an_at_sign_in_a_parameter_is_the_parameters() -> None:
    url = parse_url("postgresql://app:x@db/shop?application_name=me@shop.example")
    assert url.connect_args == {"server_settings": {"application_name": "me@shop.example"}}


def test_a_relative_file_of_another_process_has_no_endpoint() -> None:
    assert build_endpoint("sqlite", (), "shop.db") is None


def test_an_unknown_dialect_has_no_default_port() -> None:
    assert build_endpoint("clickhouse", [Host("db")], "shop") != build_endpoint(
        "clickhouse", [Host("db", 8123)], "shop"
    )
