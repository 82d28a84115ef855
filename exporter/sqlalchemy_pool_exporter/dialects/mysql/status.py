"""The status of MySQL 5.7 and newer, and of MariaDB.

It comes from variables, the process list and the state of the replica. Only statements that the
user may run are sent, because the server counts and logs denied ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, NotSupportedError, ProgrammingError

from sqlalchemy_pool_exporter.dialects.base import STATES, ServerStatus
from sqlalchemy_pool_exporter.failures import Reason
from sqlalchemy_pool_metrics.failures.mysql import classify_exact

# SHOW skips variables that a version lacks, on which SELECT @@... would fail: two are the old and
# the new name of one variable, and innodb_read_only is set on readers of Amazon Aurora.
_READ_ONLY = ("read_only", "innodb_read_only", "tx_read_only", "transaction_read_only")
_VARIABLES = f"SHOW VARIABLES WHERE Variable_name IN {('version', 'max_connections', *_READ_ONLY)}"
# "10.11.6-MariaDB-1:10.11.6+maria~deb12", "8.0.36-0ubuntu0.22.04.1"
_VERSION = re.compile(r"[\d.]+(?:-MariaDB)?")
# The server accepts one connection more than max_connections, from administrators only.
_RESERVED_CONNECTIONS = 1
# The server's own threads do not count towards its limit.
_THREADS = """
SELECT threads.command, count(transactions.thread) AS open_transactions, count(*) AS total
FROM information_schema.processlist AS threads
LEFT JOIN (
    SELECT DISTINCT trx_mysql_thread_id AS thread FROM information_schema.innodb_trx
) AS transactions ON transactions.thread = threads.id
WHERE threads.user NOT IN ('system user', 'event_scheduler')
GROUP BY threads.command"""
_ACTIVE_COMMANDS = frozenset({"Query", "Execute", "Fetch", "Prepare", "Long Data"})
_GLOBAL_GRANT = re.compile(r"^GRANT (.*) ON \*\.\* TO ", re.MULTILINE)
_MAY_SEE_THREADS = frozenset({"ALL PRIVILEGES", "PROCESS"})
_MAY_SEE_REPLICATION = frozenset(
    {"ALL PRIVILEGES", "SUPER", "REPLICATION CLIENT", "SLAVE MONITOR", "REPLICA MONITOR"}
)
_LAG_COLUMNS = ("Seconds_Behind_Source", "Seconds_Behind_Master")
_PRIVILEGES = "sqlalchemy_pool_exporter.mysql.privileges"


def read_status(connection: Connection, metrics: bool) -> ServerStatus:
    """Return the server's status; see Dialect.read_status."""
    rows = connection.exec_driver_sql(_VARIABLES)
    variables = {_read_text(row[0]): _read_text(row[1]) for row in rows}
    version = variables["version"]
    matched = _VERSION.match(version)
    basics = ServerStatus(matched[0] if matched else version, _is_writable(variables))
    return _add_metrics(connection, basics, variables) if metrics else basics


def _is_writable(variables: Mapping[str, str]) -> bool:
    return all(variables.get(name, "OFF") == "OFF" for name in _READ_ONLY)


def _add_metrics(
    connection: Connection, basics: ServerStatus, variables: Mapping[str, str]
) -> ServerStatus:
    privileges = _read_privileges(connection)
    return replace(
        basics,
        max_connections=int(variables["max_connections"]),
        reserved_connections=_RESERVED_CONNECTIONS,
        connections=_count_threads(connection) if privileges & _MAY_SEE_THREADS else None,
        replication_lag_seconds=(
            _read_lag(connection) if privileges & _MAY_SEE_REPLICATION else None
        ),
    )


def _read_privileges(connection: Connection) -> frozenset[str]:
    """Return the global privileges, with those of active roles.

    They are kept with the connection: the server applies changes to new connections only.
    """
    if _PRIVILEGES not in connection.info:
        grants = "\n".join(_read_text(row[0]) for row in _ask(connection, "SHOW GRANTS"))
        lists = ", ".join(_GLOBAL_GRANT.findall(grants))
        connection.info[_PRIVILEGES] = frozenset(lists.split(", "))
    privileges: frozenset[str] = connection.info[_PRIVILEGES]
    return privileges


def _count_threads(connection: Connection) -> dict[str, int] | None:
    rows = _ask(connection, _THREADS)
    counts = Counter(dict.fromkeys(STATES, 0))
    for raw_command, open_transactions, total in rows:
        command = _read_text(raw_command)
        if command == "Sleep":
            counts["idle"] += total - open_transactions
            counts["idle_in_transaction"] += open_transactions
        else:
            counts["active" if command in _ACTIVE_COMMANDS else "other"] += total
    # There is at least this connection.
    return dict(counts) if rows else None


def _read_lag(connection: Connection) -> float | None:
    """Return the largest lag of all sources; None if there is none, or one does not replicate."""
    rows = _ask(connection, _choose_replica_statement(connection))
    lags = [_find_lag(row._mapping) for row in rows]
    known = [float(lag) for lag in lags if lag is not None]
    return max(known) if known and len(known) == len(lags) else None


def _find_lag(row: Mapping[Any, Any]) -> int | None:
    return next((row[name] for name in _LAG_COLUMNS if name in row), None)


def _choose_replica_statement(connection: Connection) -> str:
    dialect: Any = connection.dialect
    if dialect.is_mariadb:
        return "SHOW ALL SLAVES STATUS"
    is_renamed = (dialect.server_version_info or ()) >= (8, 0, 22)
    return "SHOW REPLICA STATUS" if is_renamed else "SHOW SLAVE STATUS"


def _read_text(value: object) -> str:
    """Return a text, which is bytes after use_unicode=0 or from a column with a binary charset."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)


def _ask(connection: Connection, statement: str) -> Sequence[Any]:
    """Return the rows; none if the server only resembles MySQL and lacks the statement."""
    try:
        return connection.exec_driver_sql(statement).all()
    except DBAPIError as error:
        if not _is_query_error(error):
            raise
        return ()


def _is_query_error(error: DBAPIError) -> bool:
    # A driver whose errors have no numbers here still has the standard's classes.
    is_programming_error = isinstance(error, ProgrammingError | NotSupportedError)
    return is_programming_error or classify_exact(error.orig or error) is Reason.QUERY
