"""One variant of postgres.py: a process that connects to a database and runs a query.

python -m benchmarks.postgres_case URL plain|mapped
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.slices import serve

SELECT = text("SELECT 1")
WARM_UP_CYCLES = 300


def with_threads(engine: Engine) -> Callable[[int], int]:
    """Return wall-clock time, because the server's share counts."""

    def run(cycles: int) -> int:
        began_ns = time.perf_counter_ns()
        for _ in range(cycles):
            with engine.connect() as connection:
                connection.execute(SELECT).scalar()
        return time.perf_counter_ns() - began_ns

    return run


def on_event_loop(engine: AsyncEngine) -> Callable[[int], int]:
    """Return wall-clock time of one task, always on the same event loop."""
    runner = asyncio.Runner()

    async def run(cycles: int) -> int:
        began_ns = time.perf_counter_ns()
        for _ in range(cycles):
            async with engine.connect() as connection:
                (await connection.execute(SELECT)).scalar()
        return time.perf_counter_ns() - began_ns

    return lambda cycles: runner.run(run(cycles))


def main(url: str, variant: str) -> None:
    """Serve slices until the parent closes the pipe."""
    plugins = ["pool_metrics"] if variant == "mapped" else []
    run: Callable[[int], int]
    if url.startswith("postgresql+asyncpg:"):
        run = on_event_loop(create_async_engine(url, plugins=plugins))
    else:
        run = with_threads(create_engine(url, plugins=plugins))
    serve(run, WARM_UP_CYCLES)


if __name__ == "__main__":
    main(*sys.argv[1:])
