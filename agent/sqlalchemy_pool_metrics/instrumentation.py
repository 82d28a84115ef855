"""Switches the recording on for an engine that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .description import describe_url
from .faults import log_fault
from .pool import RecordsMetrics, instrument_engine
from .registry import PROCESS
from .snapshot import PoolDescription, Snapshot

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["instrument", "read_pool", "read_pools"]

_Engine = TypeVar("_Engine", bound="Engine | AsyncEngine")


def instrument(engine: _Engine, *, name: str | None = None) -> _Engine:
    """Record the metrics of an engine's pool from now on, and return the engine.

    Call it before or after the first use, on an Engine or AsyncEngine, with any pool class. A
    second call only renames; what was counted before stays under the name before. `name` becomes
    the label `pool`; without it the name is the engine's `pool_logging_name`, else the database's.
    Engines made by `execution_options()` share the pool.
    Never raises: a pool that cannot be instrumented is logged and goes on as before.
    """
    try:
        sync_engine: Any = getattr(engine, "sync_engine", engine)
        name = name or _known_name(sync_engine.pool)
        pool = instrument_engine(sync_engine)
        PROCESS.describe(pool, describe_url(pool, sync_engine.url, name))
    except Exception as fault:
        log_fault("instrument()", fault)
    return engine


def _known_name(pool: Any) -> str | None:
    """The name of a pool that records already and has one of its own."""
    if not isinstance(pool, RecordsMetrics):
        return None
    name = pool._recorder.block.description.name
    return name if name != PoolDescription.name else None


def read_pool(engine: Engine | AsyncEngine) -> Snapshot:
    """What the pool of an instrumented engine does now; TypeError when it is not instrumented."""
    sync_engine: Any = getattr(engine, "sync_engine", engine)
    pool = sync_engine.pool
    if not isinstance(pool, RecordsMetrics):
        raise TypeError(f"{engine!r} is not instrumented, call instrument(engine) first")
    PROCESS.check_for_fork()
    return pool._recorder.block.read()


def read_pools() -> list[Snapshot]:
    """What every instrumented pool of this process does now, merged by name and database."""
    return PROCESS.read()
