"""One configured database: its engine, the pool instrumented, and how to visit it in time.

Knows how connections are opened, used and given up on; not what a probe asks or makes of the
answer. Everything here is for the event loop's thread; blocking calls run in the database's lane.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine

from sqlalchemy_pool_exporter.databases.call_queue import CallQueue
from sqlalchemy_pool_exporter.databases.checkout import DeadlineError, TimedCheckout
from sqlalchemy_pool_exporter.databases.connections import ConnectionTracker
from sqlalchemy_pool_exporter.databases.engine import (
    build_engine,
    build_plain_engine,
    keep_hosts,
    list_hosts,
    recreate_pool,
)
from sqlalchemy_pool_exporter.databases.executors import AsyncExecutor, ThreadExecutor
from sqlalchemy_pool_exporter.databases.host_lookup import HostLookup
from sqlalchemy_pool_exporter.databases.login_progress import LoginProgress
from sqlalchemy_pool_exporter.engines.drivers import (
    build_defaults,
    build_mysql_limit,
    merge_arguments,
)
from sqlalchemy_pool_exporter.settings import DatabaseSettings
from sqlalchemy_pool_exporter.threads import BackgroundCalls
from sqlalchemy_pool_exporter.urls import DatabaseURL
from sqlalchemy_pool_exporter.urls.endpoint import read_port
from sqlalchemy_pool_metrics import Snapshot, instrument, read_pool

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long closing may wait for a server's goodbye.
CLOSE_SECONDS = 0.4
MYSQL_DIALECTS = frozenset({"mysql", "mariadb"})


class Database:
    """A configured database: `engine` with the pool to be measured, and a sibling without a pool.

    One call at a time runs in the lane, a greenlet of the event loop for async drivers and a thread
    for the others; a call that hangs is cut off at its deadline. `secrets` are what must not be
    shown, as they were when a connection was last opened; `endpoint` is where the URL led at first.
    """

    def __init__(self, name: str, settings: DatabaseSettings) -> None:
        """Connect to nothing yet. Raises what reading the URL or building the engine raises."""
        url = settings.read_url()
        self.name = name
        self.settings = settings
        self.is_async = url.is_async
        self.secrets = frozenset(url.secrets)
        self.endpoint = url.endpoint
        self.engine = build_engine(url.url, settings.pool, name=name, is_async=url.is_async)
        self.dialect = self.engine.dialect.name
        self.driver = self.engine.dialect.driver
        instrument(self.engine, name=name)
        self._pooled = self._track(find_sync_engine(self.engine))
        self._fresh = self._track(build_plain_engine(url.url, name=name, is_async=url.is_async))
        lane = AsyncExecutor(name) if url.is_async else ThreadExecutor(name)
        self._calls = CallQueue(lane, self._is_answered)
        self._aside = BackgroundCalls(name, is_async=url.is_async)
        self._lookup = HostLookup(self._aside)
        self._login: LoginProgress | None = None
        self._ends_at = 0.0  # of the call in the lane

    def _track(self, engine: Engine) -> ConnectionTracker:
        if self.dialect in MYSQL_DIALECTS:
            event.listen(engine, "connect", self._limit_session)
        return ConnectionTracker(engine, partial(self._connect, engine.dialect))

    def _limit_session(self, connection: DBAPIConnection, _record: object) -> None:
        seconds = self.settings.statement_timeout or self.settings.probe.timeout
        cursor = connection.cursor()
        cursor.execute(build_mysql_limit(seconds))
        cursor.close()

    def _connect(self, dialect: Dialect) -> DBAPIConnection:
        """Open a connection in the lane, with the secrets as their files hold them now."""
        url = self._read_url()
        if not self.is_built_for(url):
            raise DriverChangedError(
                f"the URL names {url.url.drivername}, but {self.dialect}+{self.driver} when the "
                "engine was built; reload the configuration, by SIGHUP for one"
            )
        self.secrets = frozenset(url.secrets)
        cargs, cparams = build_connect_args(dialect, url, self.settings)
        hosts = list_hosts(cparams) or [host.name for host in url.hosts]
        usable = self._lookup.find_usable(hosts, self._ends_at)
        ports = {read_port(self.dialect, host) or 0 for host in url.hosts}
        self._login = LoginProgress(self._lookup.list_addresses(usable), ports)
        try:
            return dialect.connect(*cargs, **keep_hosts(cparams, usable))
        finally:
            self._login = None

    def _is_answered(self) -> bool:
        """Whether a connection is being opened that the server has begun to answer."""
        login = self._login
        return login is not None and login.server_has_answered()

    def is_built_for(self, url: DatabaseURL) -> bool:
        """Whether the engine's driver is the one that this URL names; its file may have changed."""
        built: str = find_sync_engine(self.engine).url.drivername
        return url.url.drivername == built

    def _read_url(self) -> DatabaseURL:
        """Read it aside for an async driver: a file on a mount that hangs would hang the loop."""
        if not self.is_async:
            return self.settings.read_url()
        seconds = self._ends_at - time.monotonic()
        about = "the URL's files"
        return self._aside.make(about, self.settings.read_url, seconds, build_timeout_error)

    async def run(
        self, work: Callable[[Connection], T], *, fresh: bool, timeout_seconds: float
    ) -> tuple[T, float]:
        """Do work on a connection of the pool, or on a new one, in time.

        Gives back what `work` does, and the seconds it took to get the connection. Raises
        DeadlineError, socket.gaierror when it was a name server that did not answer, and whatever
        SQLAlchemy, the driver and `work` raise.
        """
        connections = self._fresh if fresh else self._pooled
        visit = TimedCheckout(
            connections.engine,
            work,
            timeout=timeout_seconds,
            attempts=1 if fresh else 2,
            # A limit of its own was given to the server when the connection was opened.
            limits_transaction=self.dialect == "postgresql" and not self.settings.statement_timeout,
        )
        try:
            result = await self._call(visit.make, connections, visit.ends_at, visit.build_error)
        except BaseException:
            visit.give_up()  # its thread may have been given up on, and go on by itself
            raise
        return result, visit.checkout_seconds

    async def _call(
        self,
        call: Callable[[], T],
        connections: ConnectionTracker,
        ends_at: float,
        build_error: Callable[[], Exception],
    ) -> T:
        def begin() -> T:
            self._ends_at = ends_at
            return call()

        return await self._calls.make(
            begin, connections, ends_at, lambda: (self._aside.pending or build_error)()
        )

    def read_pool(self) -> Snapshot:
        """What the pool does now."""
        return read_pool(self.engine)

    async def recreate(self) -> None:
        """Replace the pool by a new one and test that; takes no longer than a probe may.

        Raises what `run` raises, with the new pool in place.
        """
        timeout = self.settings.probe.timeout
        error = DeadlineError(f"pool not recreated within {timeout:g} s")
        await self._call(
            partial(recreate_pool, self._pooled.engine),
            self._pooled,
            time.monotonic() + timeout,
            lambda: error,
        )

    async def close(self) -> None:
        """Close every connection, by force what does not answer; never raises, bounded in time."""
        self._calls.interrupt()
        error = DeadlineError(f"not closed within {CLOSE_SECONDS:g} s")
        ends_at = time.monotonic() + CLOSE_SECONDS
        try:
            await self._calls.make(
                self._pooled.engine.dispose, self._pooled, ends_at, lambda: error
            )
        except Exception as failure:
            logger.debug("%s: %s", self.name, failure)
        finally:
            self._pooled.abort()
            self._calls.close()

    def __repr__(self) -> str:
        return f"<Database {self.name!r} {self.dialect}+{self.driver} {self._calls!r}>"


def build_timeout_error() -> DeadlineError:
    return DeadlineError("the files of the URL or its password could not be read in time")


class DriverChangedError(RuntimeError):
    """The URL's file names another driver than it did when the engine was built."""


def build_connect_args(
    dialect: Dialect, url: DatabaseURL, settings: DatabaseSettings
) -> tuple[list[Any], dict[str, Any]]:
    """The driver's positional and keyword arguments; the configuration's win over the URL's."""
    cargs, cparams = dialect.create_connect_args(url.url)
    defaults = build_defaults(dialect.driver, settings.probe.timeout, settings.statement_timeout)
    return list(cargs), merge_arguments(defaults, cparams, url.connect_args, settings.connect_args)


def find_sync_engine(engine: Engine | AsyncEngine) -> Engine:
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine
