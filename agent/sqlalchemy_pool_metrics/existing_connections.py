"""Find the connections of a pool that was used before it was instrumented."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool

__all__ = ["find_connections"]

Records = list[ConnectionPoolEntry]


def find_connections(pool: Pool) -> tuple[Records, Records]:
    """Return the records that are idle and those that are out; a NullPool keeps none.

    For a queue pool with connections out this searches all objects of the garbage collector, which
    takes tens of milliseconds in a large program: nothing else refers to all of these records.
    It does not see what was there before gc.freeze(): such a connection counts once it is returned.
    """
    if isinstance(pool, QueuePool):
        return _find_queued(pool), _find_out(pool)
    any_pool: Any = pool
    records = [
        *getattr(any_pool, "_all_conns", ()),  # SingletonThreadPool
        *filter(
            None, [any_pool.__dict__.get("_conn")] if hasattr(any_pool, "_checked_out") else []
        ),  # AssertionPool
        *filter(None, [any_pool.__dict__.get("connection")]),  # StaticPool
    ]
    return [r for r in records if not r.in_use], [r for r in records if r.in_use]


def _find_queued(pool: Any) -> Records:
    queue = pool._pool
    if hasattr(queue, "queue"):
        with queue.mutex:
            return list(queue.queue)
    # SQLAlchemy creates the asyncio queue on first use. It must not be created here: on Python 3.9
    # it would be bound to the current event loop (https://bugs.python.org/issue42392).
    return list(queue._queue._queue) if "_queue" in queue.__dict__ else []


def _find_out(pool: Any) -> Records:
    opened = pool._overflow + pool._pool.maxsize
    if opened <= 0:
        return []
    return [
        found
        for found in gc.get_referrers(pool)
        if isinstance(found, ConnectionPoolEntry) and found.in_use
    ]
