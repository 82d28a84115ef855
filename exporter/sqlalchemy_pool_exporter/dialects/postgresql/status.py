"""The status of PostgreSQL 12 and newer, also behind PgBouncer.

One statement reads it, and any user may run it. Sessions are counted only if the user may see those
of other users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sqlalchemy_pool_exporter.dialects.base import STATES, ServerStatus
from sqlalchemy_pool_metrics.failures.postgresql import read_sqlstate

_BASICS = """
    current_setting('server_version') AS version,
    NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writable"""
# reserved_connections exists from version 16 on.
_LIMITS = """
    current_setting('max_connections')::int AS max_connections,
    current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved_connections"""
# Only a connected standby can know that it has everything; one that lost its primary only knows how
# old its data is. A primary without load sends no transactions, which is not a lag.
_LAG = """
    CASE WHEN NOT pg_is_in_recovery() THEN NULL
        WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
            AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
        ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))
        END::float8 AS replication_lag_seconds"""
# Without the role, state and type of other users' sessions are hidden, and clients look the same as
# background workers.
_SESSIONS = """
    pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all_sessions, sessions.*"""
_FROM_SESSIONS = """
FROM (
    SELECT count(*) AS total,
        count(*) FILTER (WHERE state = 'active') AS active,
        count(*) FILTER (WHERE state = 'idle') AS idle,
        count(*) FILTER (WHERE state IN ('idle in transaction', 'idle in transaction (aborted)'))
            AS idle_in_transaction
    FROM pg_stat_activity WHERE backend_type = 'client backend'
) AS sessions"""
# No percent sign anywhere: psycopg would take it for a parameter.
# Servers that only resemble PostgreSQL lack functions, and administrators revoke them: each
# statement asks for less than the one before.
_STATEMENTS = (
    f"SELECT {_BASICS}, {_LIMITS}, {_LAG}, {_SESSIONS} {_FROM_SESSIONS}",
    f"SELECT {_BASICS}, {_LIMITS}, {_SESSIONS} {_FROM_SESSIONS}",
    f"SELECT {_BASICS}, {_LIMITS}",
    f"SELECT {_BASICS}",
)
_LAST = len(_STATEMENTS) - 1
# Syntax error or access rule violation; feature not supported.
_UNAVAILABLE_CLASSES = ("42", "0A")
_KNOWN = "sqlalchemy_pool_exporter.postgresql.statement"


def read_status(connection: Connection, metrics: bool) -> ServerStatus:
    """Return the server's status; see Dialect.read_status."""
    row = _ask(connection, connection.info.get(_KNOWN, 0) if metrics else _LAST)
    return ServerStatus(
        # "16.4 (Debian 16.4-1.pgdg120+2)"
        version=row["version"].partition(" ")[0],
        writable=row["writable"],
        replication_lag_seconds=row.get("replication_lag_seconds"),
        max_connections=row.get("max_connections"),
        reserved_connections=row.get("reserved_connections"),
        connections=_count_connections(row) if row.get("sees_all_sessions") else None,
    )


def _ask(connection: Connection, number: int) -> Mapping[str, Any]:
    """Return the row of the first statement from `number` on that this server supports.

    Its number is kept with the connection, so that the server does not log errors each time.
    """
    try:
        return dict(connection.exec_driver_sql(_STATEMENTS[number]).mappings().one())
    except DBAPIError as error:
        if number == _LAST or not _is_unavailable(error):
            raise
    connection.rollback()
    connection.info[_KNOWN] = number + 1
    return _ask(connection, number + 1)


def _is_unavailable(error: DBAPIError) -> bool:
    return (read_sqlstate(error.orig) or "").startswith(_UNAVAILABLE_CLASSES)


def _count_connections(row: Mapping[str, Any]) -> dict[str, int]:
    """Return the sessions by state; `other` are fast-path calls, starting sessions and the like."""
    counts = {state: row[state] for state in STATES if state in row}
    return {**counts, "other": row["total"] - sum(counts.values())}
