"""What one probe does on its connection, and the record of what it saw."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select

from sqlalchemy_pool_exporter.dialects import ServerStatus, find_dialect
from sqlalchemy_pool_exporter.failures import Failure
from sqlalchemy_pool_exporter.settings import Role


class Kind(StrEnum):
    """Where a probe gets its connection: from the pool, or a new one beside the pool."""

    POOLED = "pooled"
    FRESH = "fresh"


class Result(StrEnum):
    """How a probe ended."""

    OK = "ok"
    ERROR = "error"


class Phase(StrEnum):
    """A part of a probe that is timed: checkout from the pool, new connection, or query."""

    CHECKOUT = "checkout"
    CONNECT = "connect"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Check:
    """What one probe saw.

    Attributes:
        checked_at: When the probe ended, in Unix seconds.
        latency_seconds: The time to get a connection and run the query, or until the failure.
        server: None after a failure, or if the server's status cannot be read.
        role_mismatch: None without a configured role, or if it is unknown whether the server
            accepts writes.
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
        """The outcome as the label value of a metric."""
        return Result.OK if self.ok else Result.ERROR


def find_role_mismatch(role: Role, server: ServerStatus | None) -> bool | None:
    """Return whether the server has another role than configured; None if that is unknown."""
    if role is Role.ANY or server is None or server.writable is None:
        return None
    return server.writable is not (role is Role.PRIMARY)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a probe's query returned; `server_error` says why there is no `server`."""

    query_seconds: float
    server: ServerStatus | None
    server_error: Exception | None = None


def run_probe_query(connection: Connection, *, query: str | None, metrics: bool) -> QueryResult:
    """Run the query and read the server's status. Blocks.

    Raises what the query raises. An error of the status is raised only if the connection is lost.
    """
    started = time.perf_counter()
    run_query(connection, query)
    query_seconds = time.perf_counter() - started
    try:
        dialect = find_dialect(connection.dialect.name)
        return QueryResult(query_seconds, dialect.read_status(connection, metrics))
    except Exception as error:
        if getattr(error, "connection_invalidated", False):
            raise
        return QueryResult(query_seconds, None, error)


def run_query(connection: Connection, query: str | None) -> None:
    """Run a query as it is written: neither ":name" nor "%" is a parameter. None is `select(1)`."""
    if query is None:  # some servers need a FROM clause, which SQLAlchemy adds
        connection.execute(select(1)).first()
        return
    result = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
    if result.returns_rows:
        result.first()


# The buckets of the durations in docs/metrics.md, in seconds.
CONNECT_BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class DurationHistogram:
    """Counts durations by bucket.

    `bounds` are the upper ends of the buckets in seconds, inclusive. `counts` is not cumulative,
    and its last number counts the durations above all bounds. `sum` is in seconds.
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
