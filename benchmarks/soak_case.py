"""A worker of the application in soak.py: it shares its pool and uses it until it is killed.

SQLALCHEMY_POOL_METRICS_DIR=FOLDER python -m benchmarks.soak_case
"""

from __future__ import annotations

import time
from typing import NoReturn

from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import instrument

PAUSE_SECONDS = 0.05


def main() -> NoReturn:
    """Check out and return connections, some in overflow, and invalidate one now and then."""
    options = {"pool_size": 2, "max_overflow": 1, "pool_timeout": 0.01}
    engine = instrument(create_engine("sqlite://", poolclass=QueuePool, **options), name="orders")
    for number in range(10**12):
        connections = [engine.connect() for _ in range(1 + number % 3)]
        if number % 10 == 0:
            connections[0].invalidate()
        for connection in connections:
            connection.close()
        if number == 0:
            print("ready", flush=True)
        time.sleep(PAUSE_SECONDS)
    raise SystemExit


if __name__ == "__main__":
    main()
