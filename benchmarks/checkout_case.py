"""One variant of checkout.py: a process that checks out and returns connections of a stub driver.

python -m benchmarks.checkout_case "one thread" plain
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool, QueuePool
from sqlalchemy.util import greenlet_spawn

from benchmarks.slices import refuse, serve

THREADS = 4
WARM_UP_CYCLES = 5000


class StubConnection:
    """A connection that does nothing."""

    def rollback(self) -> None:
        """Roll back nothing."""

    def close(self) -> None:
        """Close nothing."""


class StubDriver:
    """A stub of a DBAPI module."""

    paramstyle = "qmark"
    Error = Exception

    @staticmethod
    def connect(**_: Any) -> StubConnection:
        """Return a connection."""
        return StubConnection()


class StubDialect(DefaultDialect):
    """A dialect of no database."""

    name = "postgresql"
    driver = "stub"

    @classmethod
    def import_dbapi(cls) -> Any:
        """Return the stub."""
        return StubDriver


class AsyncStubDialect(StubDialect):
    """The same, for asyncio."""

    is_async = True


def build_engine(pool_class: type[Pool]) -> Engine:
    """Return an engine over the stub, with a connection for each thread."""
    kind = "Async" if issubclass(pool_class, AsyncAdaptedQueuePool) else ""
    registry.register("postgresql.stub", __name__, f"{kind}StubDialect")
    url = "postgresql+stub://db.example/shop"
    # Not initialized: the first connection would be asked what the server is.
    return create_engine(url, poolclass=pool_class, pool_size=THREADS + 1, _initialize=False)


def build_plain(base: type[Pool]) -> Engine:
    """Return an engine of plain SQLAlchemy."""
    return build_engine(base)


def build_recorded(base: type[Pool]) -> Engine:
    """Return a recorded engine, by the pool's class."""
    from sqlalchemy_pool_metrics import metrics_class

    return build_engine(metrics_class(base))


def build_mapped(base: type[Pool]) -> Engine:
    """Return a recorded engine that writes into a file."""
    engine = build_recorded(base)
    engine.pool.connect().close()
    folder = Path(os.environ["SQLALCHEMY_POOL_METRICS_DIR"])
    if not any(folder.glob(f"*-{os.getpid()}-*.pool")):
        refuse("writes no file")
    return engine


def build_instrumented(base: type[Pool]) -> Engine:
    """Return an engine recorded by instrument(), as with the plugin and PYTHONPATH."""
    from sqlalchemy_pool_metrics import instrument

    return instrument(build_engine(base), name="primary")


def build_holders(base: type[Pool]) -> Engine:
    """Return an engine that also finds the function that asks for a connection."""
    from sqlalchemy_pool_metrics import instrument, read_pool

    engine = instrument(build_engine(base), name="primary", holders=True)
    engine.pool.connect().close()
    if not read_pool(engine).holders:
        refuse("finds no holder")
    return engine


def build_named(base: type[Pool]) -> Engine:
    """Return the same, with a name that the application gave."""
    from sqlalchemy_pool_metrics import holder

    engine = build_holders(base)
    holder("nightly report").__enter__()
    return engine


def build_prometheus(base: type[Pool]) -> Engine:
    """Return an engine with typical listeners: connections out, and the time they are held."""
    try:
        from prometheus_client import Gauge, Histogram
    except ImportError:
        refuse("not installed")
    out = Gauge("pool_checked_out", "Connections out.", ["pool"]).labels("primary")
    hold = Histogram("pool_hold_seconds", "Time held.", ["pool"]).labels("primary")

    def on_checkout(_connection: Any, record: Any, _proxy: Any) -> None:
        record.info["checked_out_at"] = time.perf_counter()
        out.inc()

    def on_checkin(_connection: Any, record: Any) -> None:
        out.dec()
        hold.observe(time.perf_counter() - record.info.pop("checked_out_at"))

    engine = build_engine(base)
    event.listen(engine, "checkout", on_checkout)
    event.listen(engine, "checkin", on_checkin)
    return engine


def build_opentelemetry(base: type[Pool]) -> Engine:
    """Return an engine with OpenTelemetry's instrumentation and its SDK."""
    try:
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    except ImportError:
        refuse("not installed")
    logging.disable(logging.ERROR)  # it logs that it refuses, and does nothing
    engine, provider = build_engine(base), MeterProvider([InMemoryMetricReader()])
    SQLAlchemyInstrumentor().instrument(engine=engine, meter_provider=provider)
    if not list(engine.pool.dispatch.checkout):
        refuse("refuses")
    return engine


BUILD: dict[str, Callable[[type[Pool]], Engine]] = {
    "plain": build_plain,
    "private": build_recorded,
    "mapped": build_mapped,
    "instrumented": build_instrumented,
    "named": build_named,
    "holders": build_holders,
    "prometheus": build_prometheus,
    "opentelemetry": build_opentelemetry,
}


def cycle(pool: Pool, cycles: int) -> None:
    """Check out and return, again and again."""
    for _ in repeat(None, cycles):
        pool.connect().close()


def in_one_thread(pool: Pool) -> Callable[[int], int]:
    """Return the CPU time of this process; other processes disturb it less than wall-clock time."""

    def run(cycles: int) -> int:
        began_ns = time.process_time_ns()
        cycle(pool, cycles)
        return time.process_time_ns() - began_ns

    return run


def in_threads(pool: Pool) -> Callable[[int], int]:
    """Return the CPU time of threads that share the cycles, with their contention for the GIL."""

    def run(cycles: int) -> int:
        share = (pool, -(-cycles // THREADS))
        threads = [threading.Thread(target=cycle, args=share) for _ in range(THREADS)]
        began_ns = time.process_time_ns()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.process_time_ns() - began_ns

    return run


def on_event_loop(pool: Pool) -> Callable[[int], int]:
    """Return the CPU time of a task, in the greenlet in which an AsyncEngine's pool runs."""

    async def run_task(cycles: int) -> int:
        return await greenlet_spawn(in_one_thread(pool), cycles)

    return lambda cycles: asyncio.run(run_task(cycles))


WAYS: dict[str, Callable[[Pool], Callable[[int], int]]] = {
    "one thread": in_one_thread,
    "4 threads": in_threads,
    "asyncio": on_event_loop,
}


def main(way: str, variant: str) -> None:
    """Serve slices until the parent closes the pipe."""
    engine = BUILD[variant](AsyncAdaptedQueuePool if way == "asyncio" else QueuePool)
    serve(WAYS[way](engine.pool), WARM_UP_CYCLES)


if __name__ == "__main__":
    main(*sys.argv[1:])
