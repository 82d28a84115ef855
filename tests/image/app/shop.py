"""The application in the pod: each request waits for a lock in a connection."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DATABASE_URL"], pool_size=2, max_overflow=0)


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(1)"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"sold\n"]
