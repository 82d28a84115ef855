"""What one probe saw, and the words for it that are label values of metrics.

Knows neither how probes are made nor what is done with their outcomes.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.failures import Failure
from sqlalchemy_pool_exporter.servers import ServerStatus, read_server
from sqlalchemy_pool_exporter.settings import Role


class Kind(StrEnum):
    """Where a probe takes its connection from: the pool, or a new one past the pool."""

    POOLED = "pooled"
    FRESH = "fresh"


class Result(StrEnum):
    OK = "ok"
    ERROR = "error"


class Phase(StrEnum):
    """What of a probe is timed: the checkout from the pool or the new connection; the query."""

    CHECKOUT = "checkout"
    CONNECT = "connect"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Check:
    """What one probe saw.

    `checked_at` is its end in unix seconds. `latency_seconds` is the time to get a connection and
    to run the query; of a failed probe the time until it failed. `server` is None when it failed
    or the server would not say. `role_mismatch` is None when no role is configured or nobody knows
    whether the server accepts writes.
    """

    ok: bool
    kind: Kind
    failure: Failure | None
    checked_at: float
    latency_seconds: float
    server: ServerStatus | None
    role_mismatch: bool | None

    @property
    def result(self) -> Result:
        return Result.OK if self.ok else Result.ERROR


def find_role_mismatch(role: Role, server: ServerStatus | None) -> bool | None:
    """Whether a server that accepts writes, or does not, plays another role than configured."""
    if role is Role.ANY or server is None or server.writable is None:
        return None
    return server.writable is not (role is Role.PRIMARY)


def is_cancelled() -> bool:
    """Tells whether somebody cancelled the current task itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@dataclass(frozen=True, slots=True)
class QueryResult:
    """`server` is None when it could not be read, and `server_error` says why."""

    query_seconds: float
    server: ServerStatus | None
    server_error: Exception | None = None


def run_probe_query(connection: Connection, *, query: str, metrics: bool) -> QueryResult:
    """Raises what the query does; what reading the server does only if it ends the connection."""
    started = time.perf_counter()
    run_query(connection, query)
    query_seconds = time.perf_counter() - started
    try:
        return QueryResult(query_seconds, read_server(connection, metrics=metrics))
    except Exception as error:
        if getattr(error, "connection_invalidated", False):
            raise
        return QueryResult(query_seconds, None, error)


def run_query(connection: Connection, query: str) -> None:
    # As it is: neither ":name" nor "%" of somebody's query mean a parameter.
    result = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
    if result.returns_rows:
        result.first()


# The buckets that docs/metrics.md gives for opening a connection.
CONNECT_BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class DurationHistogram:
    """Counts durations by bucket.

    `bounds` are the buckets' upper ends in seconds, inclusive. `counts` has one number more than
    `bounds` (the last is what lies above all of them) and is not cumulative. `sum` is in seconds.
    """

    def __init__(self, bounds: tuple[float, ...] = CONNECT_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def __repr__(self) -> str:
        return f"<DurationHistogram count={sum(self.counts)} sum={self.sum:.6f}>"
