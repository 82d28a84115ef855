"""One configured database: its engine, the instrumented pool, and work on it within a deadline."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

from sqlalchemy_pool_exporter.databases.call_queue import CallQueue
from sqlalchemy_pool_exporter.databases.checkout import DeadlineError, TimedCheckout
from sqlalchemy_pool_exporter.databases.connect_args import (
    build_connect_args,
    list_hosts,
    select_hosts,
)
from sqlalchemy_pool_exporter.databases.connections import ConnectionTracker
from sqlalchemy_pool_exporter.databases.engine import (
    build_engine,
    build_unpooled_engine,
    recreate_pool,
)
from sqlalchemy_pool_exporter.databases.executors import AsyncExecutor, ThreadExecutor
from sqlalchemy_pool_exporter.databases.host_lookup import HostLookup
from sqlalchemy_pool_exporter.databases.login_progress import LoginProgress
from sqlalchemy_pool_exporter.dialects import DatabaseURL, classify, find_dialect, find_driver
from sqlalchemy_pool_exporter.failures import Reason
from sqlalchemy_pool_exporter.settings import DatabaseSettings
from sqlalchemy_pool_metrics import Snapshot, instrument, read_pool

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long closing may wait for a server to close its side.
CLOSE_SECONDS = 0.4


class DriverChangedError(RuntimeError):
    """The URL's file names another driver than it did when the engine was built."""


class Database:
    """A configured database: `engine` with the pool to measure, and another one without a pool.

    For the event loop's thread. One call at a time runs, in a greenlet of the event loop for async
    drivers, else in a thread. `secrets` are those that the URL had when a connection was last
    opened; `endpoint` is where the URL led when the engine was built.
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
        self._pooled = self._track(self.engine)
        self._fresh = self._track(build_unpooled_engine(url.url, name=name, is_async=url.is_async))
        driver = find_driver(self.dialect, self.driver)
        executor = AsyncExecutor(name, driver) if url.is_async else ThreadExecutor(name)
        self._calls = CallQueue(executor, may_detach=self._server_has_answered_login)
        self._lookup = HostLookup(self._calls)
        self._login: LoginProgress | None = None

    def _track(self, engine: Engine) -> ConnectionTracker:
        if session_limit := find_dialect(self.dialect).session_limit:
            seconds = self.settings.statement_timeout or self.settings.probe.timeout
            event.listen(engine, "connect", partial(limit_session, session_limit(seconds)))
        return ConnectionTracker(engine, partial(self._connect, engine.dialect))

    def _connect(self, dialect: Dialect) -> DBAPIConnection:
        """Open a connection with the secrets that their files hold now; for the running call."""
        url = self._read_url()
        if not self.has_driver_of(url):
            raise DriverChangedError(
                f"the URL names {url.url.drivername} now, but the engine was built for "
                f"{self.dialect}+{self.driver}; reload the configuration, for example by SIGHUP"
            )
        self.secrets = frozenset(url.secrets)
        cargs, cparams = build_connect_args(dialect, url, self.settings)
        known = find_dialect(self.dialect)
        if not known.has_host_names:
            return dialect.connect(*cargs, **cparams)
        hosts = list_hosts(cparams) or [host.name for host in url.hosts]
        usable = self._lookup.resolve(hosts)
        ports = {host.port or known.default_port or 0 for host in url.hosts}
        self._login = LoginProgress(self._lookup.get_addresses(usable), ports)
        try:
            return dialect.connect(*cargs, **select_hosts(cparams, usable))
        finally:
            self._login = None

    def _server_has_answered_login(self) -> bool:
        login = self._login
        return login is not None and login.server_has_answered()

    def has_driver_of(self, url: DatabaseURL) -> bool:
        """Return whether the engine was built for the driver that this URL names."""
        built: str = self.engine.url.drivername
        return url.url.drivername == built

    def _read_url(self) -> DatabaseURL:
        if not self.is_async:
            return self.settings.read_url()
        # In a greenlet, a file on a mount that hangs would hang the event loop.
        seconds = self._calls.deadline - time.monotonic()
        return self._calls.run_in_background(
            "the URL's files", self.settings.read_url, seconds, build_files_timeout_error
        )

    async def run(
        self, work: Callable[[Connection], T], *, fresh: bool, timeout_seconds: float
    ) -> tuple[T, float]:
        """Work on a connection of the pool, or on a new one.

        Returns:
            What `work` returns, and the seconds it took to get the connection.

        Raises:
            DeadlineError: The deadline has passed.
            socket.gaierror: No host was resolved in time.
            Exception: What SQLAlchemy, the driver or `work` raise.
        """
        connections = self._fresh if fresh else self._pooled
        checkout = TimedCheckout(
            connections.engine,
            work,
            timeout=timeout_seconds,
            attempts=1 if fresh else 2,
            transaction_limit=self._find_transaction_limit(),
        )
        try:
            result = await self._calls.run(
                checkout.run, connections, checkout.deadline, checkout.build_error
            )
        except BaseException:
            checkout.cancel()  # its thread may have been abandoned and still run
            raise
        return result, checkout.checkout_seconds

    def _find_transaction_limit(self) -> Callable[[float], str] | None:
        # With a statement timeout, the server got a limit when the connection was opened.
        has_limit = self.settings.statement_timeout
        return None if has_limit else find_dialect(self.dialect).transaction_limit

    def read_pool(self) -> Snapshot:
        """Return a snapshot of the pool."""
        return read_pool(self.engine)

    async def recreate(self) -> None:
        """Replace the pool with a new one and test that, within a probe's timeout.

        Raises what `run` raises, with the new pool in place.
        """
        timeout = self.settings.probe.timeout
        await self._calls.run(
            partial(recreate_pool, self._pooled.engine),
            self._pooled,
            time.monotonic() + timeout,
            lambda: DeadlineError(f"pool not recreated within {timeout:g} s"),
        )

    async def close(self) -> None:
        """Close every connection, by force if it does not answer; bounded in time.

        Never raises.
        """
        self._calls.cancel_current()
        try:
            await self._calls.run(
                self._pooled.engine.dispose,
                self._pooled,
                time.monotonic() + CLOSE_SECONDS,
                lambda: DeadlineError(f"not closed within {CLOSE_SECONDS:g} s"),
            )
        except Exception as failure:
            logger.debug("%s: %s", self.name, failure)
        finally:
            self._pooled.abort()
            self._calls.close()

    def __repr__(self) -> str:
        return f"<Database {self.name!r} {self.dialect}+{self.driver} {self._calls!r}>"


def build_files_timeout_error() -> DeadlineError:
    """Return the error for files that hang, for example on a network mount."""
    return DeadlineError("the files of the URL or its password could not be read in time")


def limit_session(statement: str, connection: DBAPIConnection, _record: object) -> None:
    """Execute the statement that limits the later ones of a session, just opened.

    A proxy or another server with the dialect's protocol may not know the statement. It still
    counts as up, and the deadline still ends its queries.
    """
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
    except Exception as error:
        if classify(error).reason is not Reason.QUERY:
            raise
        logger.debug("no limit for the session's statements: %s", type(error).__name__)
    finally:
        cursor.close()
