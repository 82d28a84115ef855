"""Reasons for the error numbers of MySQL and MariaDB, as their drivers raise them.

Numbers from 2000 to 2999 are the client's. The server's are in
https://mariadb.com/kb/en/mariadb-error-codes/ and MySQL's Server Error Message Reference.
"""

from __future__ import annotations

from typing import Final

from .exceptions import is_class_of, read_text
from .reason import Reason

__all__ = ["DRIVER_MODULES", "classify_exact", "classify_heuristic", "read_number"]

DRIVER_MODULES: Final = frozenset({"pymysql", "aiomysql", "asyncmy", "MySQLdb", "mysql", "mariadb"})

_CLIENT_NUMBERS = range(2000, 3000)
_BY_NUMBER = {
    # pymysql: the connection is closed already.
    0: Reason.REFUSED,
    1040: Reason.TOO_MANY_CONNECTIONS,
    1203: Reason.TOO_MANY_CONNECTIONS,
    # A limit per user: of connections, or of statements per hour.
    1226: Reason.TOO_MANY_CONNECTIONS,
    1049: Reason.NO_DATABASE,
    # Server shutting down, host blocked after too many failed logins, connection killed.
    1053: Reason.REFUSED,
    1129: Reason.REFUSED,
    1927: Reason.REFUSED,
    **dict.fromkeys(
        # Wrong login, host, plugin; expired password; locked account (3118 MySQL, 4151 MariaDB).
        (1044, 1045, 1130, 1251, 1524, 1698, 1820, 1862, 2054, 2059, 2061, 3118, 4151),
        Reason.AUTH,
    ),
    # Lock wait; statement (3024 MySQL, 1969 MariaDB); NOWAIT; idle for too long.
    **dict.fromkeys((1205, 1969, 3024, 3572, 4031), Reason.TIMEOUT),
    1213: Reason.DEADLOCK,
    # The row has changed since the transaction's snapshot.
    1020: Reason.SERIALIZATION,
    # KILL QUERY.
    1317: Reason.CANCELLED,
    # Read-only transaction; server started read-only.
    **dict.fromkeys((1792, 1836), Reason.READ_ONLY),
    2005: Reason.DNS,
    **dict.fromkeys((2026, 3159), Reason.TLS),
    # Disk full, storage engine, memory.
    **dict.fromkeys((1021, 1030, 1037, 1038, 1041, 1114), Reason.OTHER),
    # Unique and foreign keys, NOT NULL; CHECK (3819 MySQL, 4025 MariaDB).
    **dict.fromkeys((1048, 1062, 1169, 1216, 1217, 1451, 1452, 1586), Reason.OTHER),
    **dict.fromkeys((1761, 1762, 3819, 4025), Reason.OTHER),
}
# An option of the server prevents the statement: --read-only, or something else.
_OPTION_PREVENTS = 1290
# The connection failed or broke: the error inside says why.
_BROKEN = frozenset({2002, 2003, 2006, 2013, 2055})


def read_number(error: BaseException) -> int | None:
    """Return the number of an error of a driver for MySQL; None for other errors."""
    if not is_class_of(error, DRIVER_MODULES):
        return None
    number = getattr(error, "errno", None) or (error.args[0] if error.args else None)
    return number if isinstance(number, int) else None


def classify_exact(error: BaseException) -> Reason | None:
    """Return the reason of an error's number; None if only the error inside says why."""
    number = read_number(error)
    if number is None or number in _BROKEN:
        return None
    if number == _OPTION_PREVENTS:
        text = read_text(error).replace("_", "-").lower()
        return Reason.READ_ONLY if "read-only" in text else Reason.QUERY
    default = Reason.DRIVER if number in _CLIENT_NUMBERS else Reason.QUERY
    return _BY_NUMBER.get(number, default)


def classify_heuristic(error: BaseException) -> Reason | None:
    """Return REFUSED for a connection that broke without a known cause: the server closed it."""
    return Reason.REFUSED if read_number(error) in _BROKEN else None
