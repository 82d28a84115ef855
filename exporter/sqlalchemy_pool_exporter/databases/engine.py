"""Engines with the pool that the settings ask for, and how to replace a pool.

Knows what each pool class takes; not how connections are opened, nor what they are for.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from itertools import compress
from typing import Any

from sqlalchemy import URL, Engine, Pool, create_engine, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import (
    AssertionPool,
    AsyncAdaptedQueuePool,
    NullPool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

from sqlalchemy_pool_exporter.settings import PoolClass, PoolSettings

POOL_CLASSES: dict[PoolClass, type[Pool]] = {
    PoolClass.QUEUE: QueuePool,
    PoolClass.NULL: NullPool,
    PoolClass.STATIC: StaticPool,
    PoolClass.SINGLETON_THREAD: SingletonThreadPool,
    PoolClass.ASSERTION: AssertionPool,
}


class PoolClassError(ValueError):
    """A pool class that cannot be used with the database's driver."""


def build_engine(
    url: URL, pool: PoolSettings, *, name: str, is_async: bool
) -> Engine | AsyncEngine:
    """An engine that has not connected yet. Raises PoolClassError."""
    if is_async and pool.pool_class is PoolClass.SINGLETON_THREAD:
        raise PoolClassError(
            f"pool class {pool.pool_class.value}: {url.drivername} is an async driver, for which "
            f"SQLAlchemy has no such pool; expected queue, null, static or assertion"
        )
    create = create_async_engine if is_async else create_engine
    options = build_pool_options(pool, is_async=is_async)
    engine = create(url, pool_logging_name=name, **options)
    quiet(engine.pool)
    return engine


def build_plain_engine(url: URL, *, name: str, is_async: bool) -> Engine:
    """An engine that opens a new connection for every checkout and closes it on return."""
    create = create_async_engine if is_async else create_engine
    engine = create(url, poolclass=NullPool, pool_logging_name=name)
    quiet(engine.pool)
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


def quiet(pool: Pool) -> None:
    """Keep a pool that has a name to itself: its failures are the probes' to tell, in one line.

    SQLAlchemy logs a traceback when a connection cannot be reset or closed, as of a silent server.
    """
    if isinstance(pool.logger, logging.Logger):
        pool.logger.setLevel(logging.CRITICAL)


def build_pool_options(pool: PoolSettings, *, is_async: bool) -> dict[str, Any]:
    """The keyword arguments of create_engine; each pool class refuses those it does not know."""
    options: dict[str, Any] = {
        "poolclass": POOL_CLASSES[pool.pool_class],
        "pool_recycle": -1 if pool.recycle is None else pool.recycle,
        "pool_pre_ping": pool.pre_ping,
        "pool_reset_on_return": pool.reset_on_return,
    }
    if pool.pool_class is PoolClass.SINGLETON_THREAD:
        options |= {"pool_size": pool.size}
    if pool.pool_class is PoolClass.QUEUE:
        options |= {
            "poolclass": AsyncAdaptedQueuePool if is_async else QueuePool,
            "pool_size": pool.size,
            "max_overflow": pool.max_overflow,
            "pool_timeout": pool.timeout,
            "pool_use_lifo": pool.use_lifo,
        }
    return options


def recreate_pool(engine: Engine) -> None:
    """Replace an engine's pool by a new one, and test that the new one connects.

    Blocks; raises what connecting raises. Connections that are checked out close on their return.
    """
    engine.dispose()
    with engine.connect() as connection:
        connection.execute(select(1))


# Of several values each belongs to the host at its place; a single one is for all hosts.
KEYS = ("host", "port", "hostaddr")


def list_hosts(arguments: Mapping[str, Any]) -> list[str]:
    """The hosts as the driver will look them up: where libpq has an address, it is that."""
    hosts = split(arguments.get("host"))
    addresses = split(arguments.get("hostaddr"))
    if len(addresses) != len(hosts):
        return hosts
    return [address or host for host, address in zip(hosts, addresses, strict=True)]


def keep_hosts(arguments: Mapping[str, Any], usable: Collection[str]) -> dict[str, Any]:
    """The arguments without the hosts that are not usable."""
    kept = [host in usable for host in list_hosts(arguments)]
    return {
        key: value if key not in KEYS or all(kept) else keep(value, kept)
        for key, value in arguments.items()
    }


def keep(value: Any, kept: list[bool]) -> Any:
    values = split(value)
    if len(values) != len(kept):
        return value
    left = list(compress(values, kept))
    return ",".join(left) if isinstance(value, str) else left


def split(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return value.split(",") if isinstance(value, str) else []
