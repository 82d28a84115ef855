"""A small application with one pool, which it uses as its orders say; a program of its own.

    python -m grafana.stage.application URL POOL ORDERS

POOL are keywords of create_engine(), ORDERS a list of orders with their keywords, both as JSON:
[["use", {"threads": 2}], ["keep", {"count": 1}]]. It prints `ready` when its connections are open,
starts when it reads a line, and ends with its standard input.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_pool_metrics import holder, instrument


class Request(NamedTuple):
    """Who uses a connection, for how many seconds, and how many of them its query takes."""

    name: str
    hold: float
    query: float = 0.0


class Application:
    """The application. Each order is a method that starts threads and returns."""

    def __init__(self, url: str, pool: dict[str, Any]) -> None:
        self.engine: Engine = instrument(create_engine(url, **pool), name="orders")
        self._kept: list[Connection] = []

    def warm(self, size: int) -> None:
        """Open so many connections, so that none has to be opened later."""
        with ExitStack() as stack, suppress(SQLAlchemyError), holder("warm-up"):
            for _ in range(size):
                stack.enter_context(self.engine.connect())

    def use(self, threads: int = 2, hold: float = 0.02, pause: float = 0.2) -> None:
        """Use a connection for `hold` seconds in each thread, and again after a pause."""
        for _ in range(threads):
            start_thread(lambda: self._use(Request("GET /orders", hold), pause))

    def keep(self, count: int = 1, every: float = 0.0) -> None:
        """Check out a connection every so many seconds, and never return one."""

        @holder("POST /upload")
        def work() -> None:
            for _ in range(count):
                self._kept.append(self.engine.connect())
                time.sleep(every)

        start_thread(work)

    def lose(self, every: float = 1.0) -> None:
        """Leak a connection every so many seconds; the garbage collector finds it."""

        @holder("nightly report")
        def work() -> None:
            while True:
                with suppress(SQLAlchemyError):
                    self.engine.connect().execute(text("SELECT 1"))
                gc.collect()
                time.sleep(every)

        start_thread(work)

    def write(self, every: float = 0.2) -> None:
        """Execute a statement that changes nothing every so many seconds, but counts as writing."""

        def work() -> None:
            while True:
                with suppress(SQLAlchemyError), self.engine.begin() as connection:
                    connection.execute(text("DROP TABLE IF EXISTS no_such_table"))
                time.sleep(every)

        start_thread(work)

    def multiply(self, every: float = 2.0) -> None:
        """Create an engine every so many seconds, use it once and forget it."""

        def work() -> None:
            while True:
                engine = instrument(create_engine(self.engine.url), name="orders")
                with suppress(SQLAlchemyError), engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                engine.dispose()
                time.sleep(every)

        start_thread(work)

    def rush(
        self, request: tuple[str, float, float], threads: int, seconds: float, after: float
    ) -> None:
        """Start more threads with such a request, `after` so many seconds and for `seconds`."""

        def work() -> None:
            time.sleep(after)
            until = time.monotonic() + seconds
            for _ in range(threads):
                start_thread(lambda: self._use(Request(*request), 0.05, until))

        start_thread(work)

    def _use(self, request: Request, pause: float, until: float = float("inf")) -> None:
        while time.monotonic() < until:
            # Failed checkouts are what some scenarios are about.
            with (
                suppress(SQLAlchemyError),
                holder(request.name),
                self.engine.connect() as connection,
            ):
                connection.execute(text(f"SELECT pg_sleep({request.query})"))
                time.sleep(request.hold - request.query)
            time.sleep(pause)


def start_thread(work: Callable[[], None]) -> None:
    """Start a thread that does not delay the end of the process."""
    threading.Thread(target=work, daemon=True).start()


def main(url: str, pool: str, orders: str) -> None:
    """Run until standard input ends."""
    keywords = json.loads(pool)
    application = Application(url, keywords)
    application.warm(keywords["pool_size"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        for order, arguments in json.loads(orders):
            getattr(application, order)(**arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
