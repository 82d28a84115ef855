"""Switch the recording on for an existing engine, and read what it records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .description import describe_url
from .faults import log_fault
from .holders import choose_search
from .pool import RecordsMetrics, instrument_engine
from .registry import PROCESS
from .snapshot import PoolDescription, Snapshot

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["instrument", "read_pool", "read_pools"]

_Engine = TypeVar("_Engine", bound="Engine | AsyncEngine")


def instrument(engine: _Engine, *, name: str | None = None, holders: bool | None = None) -> _Engine:
    """Record the metrics of an engine's pool from now on.

    Call it before or after the first use; the pool may be of any class. A second call only renames
    the pool, and earlier counts stay under the old name. Engines made by `execution_options()`
    share the pool. Never raises: failures are logged, and the pool still works.

    Args:
        engine: The engine.
        name: The value of the label `pool`; by default the engine's `pool_logging_name`, else the
            name of the database.
        holders: Whether to tell which endpoint, task or function holds the connections; by default
            what SQLALCHEMY_POOL_METRICS_HOLDERS says.

    Returns:
        The engine.
    """
    try:
        sync_engine: Any = getattr(engine, "sync_engine", engine)
        current = _current_name(sync_engine.pool)
        pool = instrument_engine(sync_engine)
        block = pool._recorder.block
        was_named = name or block.base_name is None
        if holders is not None:
            block.holder_search = choose_search(holders)
        PROCESS.describe(pool, describe_url(pool, sync_engine.url, name or current))
        if was_named:
            block.base_name = None
        elif not current:
            block.base_name = block.description.name
    except Exception as fault:
        log_fault("instrument()", fault)
    return engine


def _current_name(pool: Any) -> str | None:
    """Return the name of a pool that already records; None for the default name."""
    if not isinstance(pool, RecordsMetrics):
        return None
    name = pool._recorder.block.description.name
    return name if name != PoolDescription.name else None


def read_pool(engine: Engine | AsyncEngine) -> Snapshot:
    """Return a snapshot of an engine's pool; TypeError if the engine is not instrumented."""
    sync_engine: Any = getattr(engine, "sync_engine", engine)
    pool = sync_engine.pool
    if not isinstance(pool, RecordsMetrics):
        raise TypeError(f"{engine!r} is not instrumented, call instrument(engine) first")
    PROCESS.check_for_fork()
    return pool._recorder.block.read()


def read_pools() -> list[Snapshot]:
    """Return snapshots of all instrumented pools of this process, merged by name and database."""
    return PROCESS.read()
