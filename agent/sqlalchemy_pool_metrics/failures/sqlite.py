"""Reasons for SQLite's result codes, as sqlite3 raises them since Python 3.11."""

from __future__ import annotations

from typing import Final

from .exceptions import is_class_of
from .reason import Reason

__all__ = ["DRIVER_MODULES", "classify_exact"]

DRIVER_MODULES: Final = frozenset({"aiosqlite", "sqlite3"})

# https://www.sqlite.org/rescode.html
_PRIMARY_CODE = 0xFF
_BY_CODE = {
    3: Reason.AUTH,  # SQLITE_PERM
    # Another connection held its lock for longer than the busy timeout.
    5: Reason.TIMEOUT,  # SQLITE_BUSY
    6: Reason.TIMEOUT,  # SQLITE_LOCKED
    7: Reason.OTHER,  # SQLITE_NOMEM
    8: Reason.READ_ONLY,  # SQLITE_READONLY
    10: Reason.OTHER,  # SQLITE_IOERR
    11: Reason.OTHER,  # SQLITE_CORRUPT
    13: Reason.OTHER,  # SQLITE_FULL
    14: Reason.NO_DATABASE,  # SQLITE_CANTOPEN
    23: Reason.AUTH,  # SQLITE_AUTH
    # The file holds something else, or is encrypted.
    26: Reason.NO_DATABASE,  # SQLITE_NOTADB
}


def classify_exact(error: BaseException) -> Reason | None:
    """Return the reason of SQLite's result code; None for errors without one."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int) or not is_class_of(error, ("sqlite3",)):
        return None
    return _BY_CODE.get(code & _PRIMARY_CODE, Reason.QUERY)
