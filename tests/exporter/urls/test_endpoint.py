"""Two URLs of one database are equal, and two of different ones are not."""

import os
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.urls import Endpoint, Host, build_endpoint, parse_url

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
def test_same_place_is_equal(one: str, other: str) -> None:
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
def test_another_place_is_not_equal(one: str, other: str) -> None:
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
def test_place_that_is_not_told_is_none(url: str) -> None:
    assert read(url) is None


def test_relative_file_is_in_the_folder_we_run_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read("sqlite:///shop.db") == read(f"sqlite:///{os.getcwd()}/shop.db")  # noqa: PTH109


def test_relative_file_of_somebody_else_is_anywhere() -> None:
    assert build_endpoint("sqlite", (), "shop.db") is None


def test_unknown_dialect_has_no_port_by_default() -> None:
    assert build_endpoint("clickhouse", [Host("db")], "shop") != build_endpoint(
        "clickhouse", [Host("db", 8123)], "shop"
    )
