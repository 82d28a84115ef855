"""The application of the demo: a light load on two databases, through instrumented pools.

It is what a team's own program is to the exporter, and knows nothing of it.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from typing import Final

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from exporter.urls import parse_url
from sqlalchemy_pool_metrics import Snapshot, instrument, read_pool

NAME: Final = "demo-shop"
# Three connections to PostgreSQL at most: enough for the visitors, not for the rush.
POOL_SIZE: Final = 2
MAX_OVERFLOW: Final = 1
VISITORS: Final = 3
RUSH: Final = 6
RUSH_INTERVAL_SECONDS: Final = 8.0
RUSH_QUERY_SECONDS: Final = 0.4
QUERY_SECONDS: Final = (0.01, 0.05, 0.02, 0.2, 0.03)
PAUSE_SECONDS: Final = 0.3
STOP_SECONDS: Final = 5.0

READ_ORDERS: Final = text("SELECT pg_sleep(:seconds)")
READ_ARTICLES: Final = text("SELECT count(*) FROM articles")


class App:
    """Works in a thread with an event loop of its own, as if it were another program."""

    def __init__(self, postgres_url: str, sqlite_url: str) -> None:
        orders, articles = parse_url(postgres_url), parse_url(sqlite_url)
        self.orders: AsyncEngine = instrument(
            create_async_engine(orders.url, pool_size=POOL_SIZE, max_overflow=MAX_OVERFLOW),
            name="orders",
        )
        self.articles: Engine = instrument(create_engine(articles.url), name="articles")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the work and closes the connections, bounded in time."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def read_pools(self) -> list[Snapshot]:
        """What the pools do now; from any thread."""
        snapshots = (read_pool(self.orders), read_pool(self.articles))
        return [
            replace(snapshot, pool=replace(snapshot.pool, application=NAME))
            for snapshot in snapshots
        ]

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        jobs = [self._visit() for _ in range(VISITORS)] + [self._rush(), self._browse()]
        tasks = [asyncio.create_task(job) for job in jobs]
        await asyncio.to_thread(self._stopping.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.orders.dispose()
        self.articles.dispose()

    async def _visit(self) -> None:
        for seconds in cycle(QUERY_SECONDS):
            await self._read_orders(seconds)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _rush(self) -> None:
        """Now and then more want a connection than there are: some wait."""
        while True:
            await asyncio.gather(*(self._read_orders(RUSH_QUERY_SECONDS) for _ in range(RUSH)))
            await asyncio.sleep(RUSH_INTERVAL_SECONDS)

    async def _browse(self) -> None:
        while True:
            await asyncio.to_thread(self._read_articles)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _read_orders(self, seconds: float) -> None:
        try:
            async with self.orders.connect() as connection:
                await connection.execute(READ_ORDERS, {"seconds": seconds})
        except (SQLAlchemyError, OSError):  # it shows in the metrics, which is what they are for
            await asyncio.sleep(PAUSE_SECONDS)

    def _read_articles(self) -> None:
        with self.articles.connect() as connection:
            connection.execute(READ_ARTICLES)


@contextmanager
def run_app(postgres_url: str, sqlite_url: str) -> Iterator[App]:
    """Works for the time of the block."""
    app = App(postgres_url, sqlite_url)
    app.start()
    try:
        yield app
    finally:
        app.stop()
