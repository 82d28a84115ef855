"""Reasons for SQLite's result codes, and for its texts where sqlite3 has no codes."""

from __future__ import annotations

from typing import Final

from .exceptions import is_class_of, read_text
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
    9: Reason.CANCELLED,  # SQLITE_INTERRUPT
    10: Reason.OTHER,  # SQLITE_IOERR
    11: Reason.OTHER,  # SQLITE_CORRUPT
    13: Reason.OTHER,  # SQLITE_FULL
    14: Reason.NO_DATABASE,  # SQLITE_CANTOPEN
    19: Reason.OTHER,  # SQLITE_CONSTRAINT
    23: Reason.AUTH,  # SQLITE_AUTH
    # The file holds something else, or is encrypted.
    26: Reason.NO_DATABASE,  # SQLITE_NOTADB
}
# Before Python 3.11 the exceptions have no codes.
_BY_TEXT = {
    "is locked": Reason.TIMEOUT,
    "readonly database": Reason.READ_ONLY,
    "interrupted": Reason.CANCELLED,
    "unable to open database file": Reason.NO_DATABASE,
    "file is not a database": Reason.NO_DATABASE,
}


def classify_exact(error: BaseException) -> Reason | None:
    """Return the reason of SQLite's result code or text; None for other errors."""
    if not is_class_of(error, ("sqlite3",)):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _BY_CODE.get(code & _PRIMARY_CODE, Reason.QUERY)
    text = read_text(error)
    return next((reason for words, reason in _BY_TEXT.items() if words in text), None)
