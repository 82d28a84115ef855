"""SQLAlchemy engines with the pool that the settings ask for."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import URL, Engine, Pool, create_engine, select
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


def build_engine(url: URL, pool: PoolSettings, *, name: str, is_async: bool) -> Engine:
    """Return an engine that has not connected yet. Raises PoolClassError."""
    if is_async and pool.pool_class is PoolClass.SINGLETON_THREAD:
        raise PoolClassError(
            f"pool class {pool.pool_class.value}: {url.drivername} is an async driver, for which "
            f"SQLAlchemy has no such pool; expected queue, null, static or assertion"
        )
    return _build(url, name, is_async, build_pool_options(pool, is_async=is_async))


def build_unpooled_engine(url: URL, *, name: str, is_async: bool) -> Engine:
    """Return an engine that opens a connection for every checkout and closes it on return."""
    return _build(url, name, is_async, {"poolclass": NullPool})


def _build(url: URL, name: str, is_async: bool, options: dict[str, Any]) -> Engine:
    # As create_async_engine() does, whose module imports the ORM: 6 MB that nothing here needs.
    engine = create_engine(url, pool_logging_name=name, _is_async=is_async, **options)
    # Probes report failures, in one line each. SQLAlchemy would log a traceback when a connection
    # cannot be reset or closed. setLevel() would visit every logger of the process.
    if isinstance(engine.pool.logger, logging.Logger):
        engine.pool.logger.disabled = True
    return engine


def build_pool_options(pool: PoolSettings, *, is_async: bool) -> dict[str, Any]:
    """Return keyword arguments of create_engine; each pool class refuses those of the others."""
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
    """Replace an engine's pool, and test that the new one connects. Blocks.

    Connections that are checked out close on their return. Raises what connecting raises.
    """
    engine.dispose()
    with engine.connect() as connection:
        connection.execute(select(1))
