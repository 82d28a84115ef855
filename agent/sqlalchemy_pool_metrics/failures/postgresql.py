"""Reasons for the errors of PostgreSQL and PgBouncer, as asyncpg and psycopg raise them.

The SQLSTATE decides (https://www.postgresql.org/docs/current/errcodes-appendix.html). The text
decides without one, because psycopg has none for failed connections, and with class 08, because
PgBouncer sends 08P01 for nearly everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .exceptions import is_class_of, read_text
from .reason import Reason

__all__ = [
    "DRIVER_MODULES",
    "classify_exact",
    "classify_heuristic",
    "read_fields",
    "read_sqlstate",
]

DRIVER_MODULES: Final = frozenset({"asyncpg", "psycopg", "psycopg2", "psycopg_pool", "pg8000"})

# SQLSTATEs with two meanings. 57014 in a language other than English counts as a timeout, since
# people rarely cancel statements.
_BY_STATE_AND_TEXT = {
    ("57014", "user request"): Reason.CANCELLED,
    ("55000", "not currently accepting connections"): Reason.REFUSED,
    ("42501", "permission denied for database"): Reason.AUTH,
}
_BY_STATE = {
    "25006": Reason.READ_ONLY,
    "3D000": Reason.NO_DATABASE,
    "53300": Reason.TOO_MANY_CONNECTIONS,
    # Limits of the server: statement, lock, idle in transaction, transaction, idle session.
    **dict.fromkeys(("57014", "55P03", "25P03", "25P04", "57P05"), Reason.TIMEOUT),
    # Shutdown by an administrator or a crash; starting up, shutting down or in recovery.
    **dict.fromkeys(("57P01", "57P02", "57P03"), Reason.REFUSED),
    "57P04": Reason.NO_DATABASE,
    "40P01": Reason.DEADLOCK,
    "40001": Reason.SERIALIZATION,
}
_BY_CLASS = {
    "28": Reason.AUTH,
    # Constraints.
    "23": Reason.OTHER,
    # Out of resources, operator intervention, broken configuration, I/O, internal errors.
    **dict.fromkeys(("53", "57", "58", "F0", "XX"), Reason.OTHER),
}
# Connections that failed or broke, and nearly all errors of PgBouncer.
_CONNECTION_CLASS = "08"
# The first that matches counts. The error of a host with several addresses joins several texts:
# unreachable comes last, because a machine without IPv6 reports it for every IPv6 address.
_BY_TEXT = [
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"invalid response to SSL negotiation|expected authentication request", Reason.DRIVER),
        (r"invalid connection option", Reason.DRIVER),
        (r"unsupported (frontend|startup)|invalid (startup|packet)", Reason.DRIVER),
        (r"too many (clients|connections)|remaining connection slots", Reason.TOO_MANY_CONNECTIONS),
        (r"no more connections allowed", Reason.TOO_MANY_CONNECTIONS),
        (r"database \"[^\"]*\" does not exist|no such database", Reason.NO_DATABASE),
        (r"authentication failed|auth failed|no such user|pg_hba\.conf", Reason.AUTH),
        (
            r"role \"[^\"]*\" does not exist|not permitted to log in|no password supplied",
            Reason.AUTH,
        ),
        (r"permission denied for database|authentication method", Reason.AUTH),
        (r"translate host name|resolve host|name resolution|name or service", Reason.DNS),
        # libpq and asyncpg, about servers that do not match target_session_attrs.
        (r"session is read-only|hot standby mode", Reason.READ_ONLY),
        (
            r"target attribute requirement <?SessionAttribute\.(primary|read_write)",
            Reason.READ_ONLY,
        ),
        (r"timed? ?out|_timeout", Reason.TIMEOUT),
        (r"unexpected eof|EOF detected", Reason.REFUSED),
        (r"certificate|private key|SSL error|not support SSL|SSL required", Reason.TLS),
        (r"refused|reset by peer|broken pipe|no such file", Reason.REFUSED),
        (r"closed|connection is lost|terminating connection|terminated by", Reason.REFUSED),
        (r"the database system is|shutting down|not currently accepting", Reason.REFUSED),
        (r"server login|server conn crashed|cannot connect", Reason.REFUSED),
        (r"unreachable|no route to host|cannot assign requested address", Reason.UNREACHABLE),
    )
]


def read_sqlstate(error: BaseException | None) -> str | None:
    """Return the five characters of an error's SQLSTATE; None if the driver has none."""
    # psycopg2 calls it pgcode.
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    state = state or read_fields(error).get("C")
    return state if isinstance(state, str) else None


def read_fields(error: BaseException | None) -> Mapping[str, Any]:
    """Return the fields of a server's message by the protocol's letters, as pg8000 has them."""
    if error is None or not error.args or not is_class_of(error, DRIVER_MODULES):
        return {}
    fields = error.args[0]
    return fields if isinstance(fields, dict) else {}


def classify_exact(error: BaseException) -> Reason | None:
    """Return the reason by SQLSTATE or text; None for other servers and unknown texts."""
    state, text = read_sqlstate(error), read_text(error)
    if isinstance(error, ConnectionError) and "SSL upgrade" in text:
        # asyncpg has no class for it: https://github.com/MagicStack/asyncpg/issues/1317
        return Reason.TLS
    if state is None or state.startswith(_CONNECTION_CLASS):
        return _read_text(text) if state or is_class_of(error, DRIVER_MODULES) else None
    for (ambiguous, words), reason in _BY_STATE_AND_TEXT.items():
        if state == ambiguous and words in text:
            return reason
    return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], Reason.QUERY)


def classify_heuristic(error: BaseException) -> Reason | None:
    """Return the likely reason of a connection's error whose text is unknown."""
    state = read_sqlstate(error) or ""
    if state == "08P01":
        return Reason.DRIVER
    return Reason.REFUSED if state.startswith(_CONNECTION_CLASS) else None


def _read_text(text: str) -> Reason | None:
    return next((reason for pattern, reason in _BY_TEXT if pattern.search(text)), None)
