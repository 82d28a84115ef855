"""Reasons for the result codes of SQLite: https://www.sqlite.org/rescode.html.

It must not know about paths and files.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy_pool_exporter.failures.reason import Reason

_PRIMARY_CODE = 0xFF
_BY_CODE = {
    sqlite3.SQLITE_PERM: Reason.AUTH,
    sqlite3.SQLITE_AUTH: Reason.AUTH,
    # Another connection held its lock for longer than the busy timeout.
    sqlite3.SQLITE_BUSY: Reason.TIMEOUT,
    sqlite3.SQLITE_LOCKED: Reason.TIMEOUT,
    sqlite3.SQLITE_READONLY: Reason.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Reason.NO_DATABASE,
    # The file holds something else, or is encrypted.
    sqlite3.SQLITE_NOTADB: Reason.NO_DATABASE,
    sqlite3.SQLITE_IOERR: Reason.OTHER,
    sqlite3.SQLITE_CORRUPT: Reason.OTHER,
    sqlite3.SQLITE_FULL: Reason.OTHER,
    sqlite3.SQLITE_NOMEM: Reason.OTHER,
}


def classify_exact(error: BaseException) -> Reason | None:
    """None for an error of another kind, and for those sqlite3 raises before asking SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(error, sqlite3.Error) or not isinstance(code, int):
        return None
    return _BY_CODE.get(code & _PRIMARY_CODE, Reason.QUERY)
