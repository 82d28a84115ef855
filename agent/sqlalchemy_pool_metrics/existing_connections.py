"""The connection records of a pool that was in use before it was instrumented."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool

__all__ = ["find_connections"]

Records = list[ConnectionPoolEntry]


def find_connections(pool: Pool) -> tuple[Records, Records]:
    """The records that are idle and those that are out; a NullPool's are unknown.

    Only when a queue pool has connections out it looks through the collector's objects for them,
    which takes tens of milliseconds in a large program: nothing else refers to them all.
    """
    if isinstance(pool, QueuePool):
        return _find_queued(pool), _find_out(pool)
    kept: Any = pool
    records = [
        *getattr(kept, "_all_conns", ()),  # SingletonThreadPool
        *filter(None, [kept.__dict__.get("_conn")] if hasattr(kept, "_checked_out") else []),
        *filter(None, [kept.__dict__.get("connection")]),  # StaticPool
    ]
    return [r for r in records if not r.in_use], [r for r in records if r.in_use]


def _find_queued(pool: Any) -> Records:
    queue = pool._pool
    if hasattr(queue, "queue"):
        with queue.mutex:
            return list(queue.queue)
    # An asyncio queue that does not exist yet must not be made here: it would be bound to the
    # wrong event loop on Python 3.9.
    return list(queue._queue._queue) if "_queue" in queue.__dict__ else []


def _find_out(pool: Any) -> Records:
    made = pool._overflow + pool._pool.maxsize
    if made <= 0:
        return []
    return [
        found
        for found in gc.get_referrers(pool)
        if isinstance(found, ConnectionPoolEntry) and found.in_use
    ]
