"""What a probe does with a connection: run the query, ask the server about itself.

It runs in a lane, maybe in another thread: it touches nothing but its connection.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection

from exporter.servers import ServerStatus, read_server


@dataclass(frozen=True, slots=True)
class Examination:
    """`server` is None when it could not be read, and `server_error` says why."""

    query_seconds: float
    server: ServerStatus | None
    server_error: Exception | None = None


def examine(connection: Connection, *, query: str, metrics: bool) -> Examination:
    """Raises what the query does; what reading the server does only if it ends the connection."""
    started = time.perf_counter()
    run_query(connection, query)
    query_seconds = time.perf_counter() - started
    try:
        return Examination(query_seconds, read_server(connection, metrics=metrics))
    except Exception as error:
        if getattr(error, "connection_invalidated", False):
            raise
        return Examination(query_seconds, None, error)


def run_query(connection: Connection, query: str) -> None:
    # As it is: neither ":name" nor "%" of somebody's query mean a parameter.
    result = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
    if result.returns_rows:
        result.first()
