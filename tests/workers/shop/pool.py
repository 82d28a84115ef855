"""The shop's pool, its statements and the names of its connections, for any driver."""

from __future__ import annotations

import os
from typing import Any

WORKERS = 4
POOL_SIZE = 2
MAX_OVERFLOW = 1
POOL_TIMEOUT = 0.1
ARGUMENTS: dict[str, Any] = {
    "pool_size": POOL_SIZE,
    "max_overflow": MAX_OVERFLOW,
    "pool_timeout": POOL_TIMEOUT,
}

GATE = 4711
SELL = "SELECT 1"
# The lock ends with the transaction: a connection brings none back to the pool.
WAIT_AT_GATE = f"SELECT pg_advisory_xact_lock_shared({GATE})"


def name_connection() -> str:
    """Return the name by which the server shows the process of a connection."""
    return f"shop:{os.getpid()}"
