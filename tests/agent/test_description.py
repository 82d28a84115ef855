"""Where a pool connects, as its description says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

import sqlalchemy_pool_metrics
from sqlalchemy_pool_metrics import PoolDescription, instrument, read_pool
from sqlalchemy_pool_metrics.description import name_apart
from sqlalchemy_pool_metrics.registry import PROCESS

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


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ({}, ("30", "none", "false", "false", "rollback")),
        (
            {"pool_timeout": 2.5, "pool_recycle": 1_800_000, "pool_pre_ping": True},
            ("2.5", "1800000", "true", "false", "rollback"),
        ),
        (
            {"pool_timeout": None, "pool_use_lifo": True, "pool_reset_on_return": None},
            ("none", "none", "false", "true", "none"),
        ),
        ({"poolclass": NullPool, "pool_recycle": 0}, ("", "0", "false", "", "rollback")),
    ],
)
def test_settings_are_those_that_the_engine_got(
    arguments: dict[str, Any], settings: tuple[str, ...]
) -> None:
    engine = instrument(create_engine("postgresql+psycopg://db/shop", **arguments))
    pool = read_pool(engine).pool

    seen = pool.timeout, pool.recycle, pool.pre_ping, pool.use_lifo, pool.reset_on_return
    assert seen == settings
    assert pool.sqlalchemy_version == sqlalchemy.__version__
    assert pool.agent_version == sqlalchemy_pool_metrics.__version__


def use_engines(database: Path, *kinds: str) -> dict[str, int | None]:
    """Use engines of these kinds in this order; return the limits of their pools by name."""
    url = f"sqlite:///{database}"
    build = {
        "main": lambda: create_engine(url, poolclass=QueuePool, pool_size=5, max_overflow=10),
        "small": lambda: create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0),
        "null": lambda: create_engine(url, poolclass=NullPool),
    }
    engines: list[Any] = [instrument(build[kind]()) for kind in kinds]
    for engine in engines:
        engine.connect().close()
    PROCESS.run_maintenance()
    pools = [read_pool(engine).pool for engine in engines]
    return {pool.name: pool.max_connections for pool in pools}


@pytest.mark.parametrize("kinds", list(itertools.permutations(["main", "small", "null", "main"])))
def test_engines_that_differ_are_named_apart_in_whatever_order_they_come(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    name = str(tmp_path / "x.db")

    assert use_engines(tmp_path / "x.db", *kinds) == {
        name: 15,
        f"{name} {__name__}": 1,
        f"{name} {__name__} 2": None,
    }


def test_an_engine_alone_keeps_the_name_of_its_database(tmp_path: Path) -> None:
    for kind in ("null", "small"):
        path = tmp_path / kind
        assert list(use_engines(path, kind)) == [str(path)]


def test_a_pool_that_was_named_keeps_its_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    named = instrument(create_engine(url, poolclass=NullPool), name="mine")
    instrument(named)
    named.connect().close()
    use_engines(tmp_path / "x.db", "main")

    assert read_pool(named).pool.name == "mine"


def test_a_driver_that_differs_is_the_name() -> None:
    sync = PoolDescription(driver="psycopg2", waits=True, pool_class="QueuePool", max_connections=5)
    other = replace(sync, driver="asyncpg", pool_class="AsyncAdaptedQueuePool")

    assert name_apart("shop", [(other, "a"), (sync, "b")]) == ["shop asyncpg", "shop"]
    assert name_apart("shop", [(other, "a")]) == ["shop"]
