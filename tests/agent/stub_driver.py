"""A driver without a database: it counts its connections and fails on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Engine, make_url
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool, QueuePool


class StubError(Exception):
    """What the stub driver raises."""


class StubCursor:
    """A cursor without rows."""

    description = None
    rowcount = -1

    def __init__(self, driver: StubDriver) -> None:
        self.driver = driver

    def execute(self, _statement: str, _parameters: object = ()) -> None:
        self.driver.on_execute()

    executemany = execute

    def close(self) -> None:
        pass


class StubConnection:
    """A connection of the stub driver; `dead` makes its ping fail, `stuck` its rollback."""

    def __init__(self, driver: StubDriver) -> None:
        self.driver = driver
        self.dead = False
        self.stuck = False
        self.closed = False

    def cursor(self) -> StubCursor:
        return StubCursor(self.driver)

    def rollback(self) -> None:
        if self.stuck:
            raise StubError("rollback failed")

    def commit(self) -> None:
        self.rollback()

    def close(self) -> None:
        assert not self.closed, "the pool closed a connection twice"
        self.closed = True
        self.driver.closed += 1

    terminate = close

    def __del__(self) -> None:
        if not self.closed:
            self.driver.lost += 1


def do_nothing() -> None:
    """Execute a statement."""


class StubDriver:
    """Counts connections: `opened`, `closed` by the pool, `lost` to the garbage collector.

    `on_execute` is called in the middle of each statement.
    """

    # SQLAlchemy looks for them in the driver's module.
    Error = StubError
    paramstyle = "qmark"

    def __init__(self) -> None:
        self.on_execute: Callable[[], None] = do_nothing
        self.opened = 0
        self.failed = 0
        self.closed = 0
        self.lost = 0
        self.refuses = False

    def connect(self) -> StubConnection:
        if self.refuses:
            self.failed += 1
            raise StubError("connection refused")
        self.opened += 1
        return StubConnection(self)


class StubDialect(DefaultDialect):
    """A dialect that pings the stub's connections."""

    name = "stub"
    driver = "stub"

    def _do_ping_w_event(self, dbapi_connection: Any) -> bool:
        return not dbapi_connection.dead

    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.terminate()


class AsyncStubDialect(StubDialect):
    """The same, for asyncio pools."""

    is_async = True
    has_terminate = True


def build_engine(
    pool_class: type[Pool], driver: StubDriver | None = None, **options: Any
) -> Engine:
    """Return an engine over the stub driver with a pool of this class."""
    is_async = issubclass(pool_class, AsyncAdaptedQueuePool)
    driver = driver or StubDriver()
    module: Any = driver
    dialect = AsyncStubDialect(dbapi=module) if is_async else StubDialect(dbapi=module)
    connect: Any = driver.connect
    pool = pool_class(connect, dialect=dialect, **options)
    return Engine(pool, dialect, make_url("stub://db.example:1234/shop"))


def queued_records(pool: Any) -> list[Any]:
    """Return the records in a pool's queue in the order of their checkouts."""
    assert isinstance(pool, QueuePool)
    queue: Any = pool._pool
    return list(queue.queue if hasattr(queue, "queue") else queue._queue._queue)
