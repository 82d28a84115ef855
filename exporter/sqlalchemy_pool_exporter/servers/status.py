"""The answer of a server, in the same terms for every dialect.

It must not know how to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# How a client connection may be busy; `other` is everything the rest does not cover.
STATES = ("active", "idle", "idle_in_transaction", "other")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is None is not known: an exact value or none, never a wrong one.

    `writable`: whether this connection could write, by what server and session allow in general.
    `replication_lag_seconds`: on a replica only. `reserved_connections`: those kept for
    administrators, on PostgreSQL out of `max_connections`, on MySQL on top of it. `connections`:
    all clients of the server by state, this one included, with exactly the keys of `STATES`.
    """

    version: str
    writable: bool | None = None
    replication_lag_seconds: float | None = None
    max_connections: int | None = None
    reserved_connections: int | None = None
    connections: Mapping[str, int] | None = None
