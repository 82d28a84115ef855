"""What one probe saw, and the words for it that are label values of metrics.

Knows neither how probes are made nor what is done with their outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exporter.failures import Failure
from exporter.servers import ServerStatus
from exporter.settings import Role


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
