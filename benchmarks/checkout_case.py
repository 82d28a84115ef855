"""One variant of checkout.py: a process that checks connections of a stub driver out and returns
them.

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
        """Nothing to roll back."""

    def close(self) -> None:
        """Nothing to close."""


class StubDriver:
    """A driver as SQLAlchemy imports one."""

    paramstyle = "qmark"
    Error = Exception

    @staticmethod
    def connect(**_: Any) -> StubConnection:
        return StubConnection()


class StubDialect(DefaultDialect):
    """A dialect of no database."""

    name = "postgresql"
    driver = "stub"

    @classmethod
    def import_dbapi(cls) -> Any:
        return StubDriver


class AsyncStubDialect(StubDialect):
    """The same, for asyncio."""

    is_async = True


def build_engine(pool_class: type[Pool]) -> Engine:
    """An engine over the stub, with a place for every thread."""
    kind = "Async" if issubclass(pool_class, AsyncAdaptedQueuePool) else ""
    registry.register("postgresql.stub", __name__, f"{kind}StubDialect")
    url = "postgresql+stub://db.example/shop"
    # Not initialized: the first connection would be asked what the server is.
    return create_engine(url, poolclass=pool_class, pool_size=THREADS + 1, _initialize=False)


def build_plain(base: type[Pool]) -> Engine:
    """SQLAlchemy as it is."""
    return build_engine(base)


def build_recorded(base: type[Pool]) -> Engine:
    """Our recording, switched on by the pool's class."""
    from sqlalchemy_pool_metrics import metrics_class

    return build_engine(metrics_class(base))


def build_mapped(base: type[Pool]) -> Engine:
    """The same, into a file that the exporter reads."""
    engine = build_recorded(base)
    engine.pool.connect().close()
    folder = Path(os.environ["SQLALCHEMY_POOL_METRICS_DIR"])
    if not any(folder.glob(f"*-{os.getpid()}-*.pool")):
        refuse("writes no file")
    return engine


def build_instrumented(base: type[Pool]) -> Engine:
    """The same, switched on by instrument(), as the plugin and the folder on PYTHONPATH do it."""
    from sqlalchemy_pool_metrics import instrument

    return instrument(build_engine(base), name="primary")


def build_prometheus(base: type[Pool]) -> Engine:
    """Listeners as people write them, with children bound once: connections out, time held."""
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
    """OpenTelemetry's instrumentation with its SDK: the pool's connections by state."""
    try:
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor  # type: ignore[import-not-found]
        from opentelemetry.sdk.metrics import MeterProvider  # type: ignore[import-not-found]
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # type: ignore[import-not-found]
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
    "prometheus": build_prometheus,
    "opentelemetry": build_opentelemetry,
}


def cycle(pool: Pool, cycles: int) -> None:
    """Check out and return, again and again."""
    for _ in repeat(None, cycles):
        pool.connect().close()


def in_one_thread(pool: Pool) -> Callable[[int], int]:
    """The CPU time of this process: what others do on the machine counts less."""

    def run(cycles: int) -> int:
        began_ns = time.process_time_ns()
        cycle(pool, cycles)
        return time.process_time_ns() - began_ns

    return run


def in_threads(pool: Pool) -> Callable[[int], int]:
    """The CPU time of threads that share the cycles, their quarrel over the GIL included."""

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
    """The CPU time of a task, in the greenlet in which an AsyncEngine's pool runs."""

    async def run_task(cycles: int) -> int:
        return await greenlet_spawn(in_one_thread(pool), cycles)

    return lambda cycles: asyncio.run(run_task(cycles))


WAYS: dict[str, Callable[[Pool], Callable[[int], int]]] = {
    "one thread": in_one_thread,
    "4 threads": in_threads,
    "asyncio": on_event_loop,
}


def main(way: str, variant: str) -> None:
    """Serves slices until the parent closes the pipe."""
    engine = BUILD[variant](AsyncAdaptedQueuePool if way == "asyncio" else QueuePool)
    serve(WAYS[way](engine.pool), WARM_UP_CYCLES)


if __name__ == "__main__":
    main(*sys.argv[1:])
