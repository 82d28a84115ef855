"""Where a pool connects, as its description says."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from sqlalchemy_pool_metrics import PoolDescription, instrument, read_pool

SOCKET = "/var/run/postgresql"


def describe(url: str) -> PoolDescription:
    create = create_async_engine if "asyncpg" in url else create_engine
    return read_pool(instrument(create(url))).pool


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql+psycopg://app:canary@db:6432/shop", "db", 6432),
        ("postgresql+psycopg://app:canary@[::1]:6432/shop", "::1", 6432),
        ("postgresql+psycopg://app:canary@/shop", "", None),
        (f"postgresql+psycopg://app:canary@/shop?host={SOCKET}", SOCKET, None),
        (f"postgresql+asyncpg://app:canary@/shop?host={SOCKET}", SOCKET, None),
        ("postgresql+psycopg://app:canary@/shop?host=one:1&host=two:2", "one:1,two:2", None),
        ("postgresql+psycopg://app:canary@/shop?host=one,two&port=1,2", "one:1,two:2", None),
        ("postgresql+psycopg://app:canary@one,two/shop", "one,two", None),
        ("postgresql+asyncpg://app:canary@/shop?host=one:1&host=two:2", "one:1,two:2", None),
        ("mysql+pymysql://app:canary@/shop?unix_socket=/run/my.sock", "/run/my.sock", None),
        ("mysql+pymysql://app:canary@db/shop", "db", None),
    ],
)
def test_host_and_port_are_those_that_the_driver_gets(
    url: str, host: str, port: int | None
) -> None:
    described = describe(url)

    assert (described.host, described.port, described.database) == (host, port, "shop")
    assert "canary" not in repr(described)


def test_an_engine_with_its_own_creator_is_described_by_its_url() -> None:
    engine = create_engine("postgresql+psycopg://db:6432/shop", creator=lambda: None)
    described = read_pool(instrument(engine)).pool

    assert (described.host, described.port, described.database) == ("db", 6432, "shop")


def test_connect_args_override_the_url() -> None:
    engine = create_engine("postgresql+psycopg://db/shop", connect_args={"host": "replica"})

    assert read_pool(instrument(engine)).pool.host == "replica"
