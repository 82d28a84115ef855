"""The driver connections that an engine has open, and how to end one that hangs."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from sqlalchemy_pool_exporter.databases.login_sockets import LoginSockets, record_login
from sqlalchemy_pool_exporter.dialects import Driver, find_driver

logger = logging.getLogger(__name__)


class ConnectionTracker:
    """The connections that an engine has opened and not closed yet.

    A driver that waits for a silent server does not notice that its task was cancelled, and its
    thread cannot be stopped; but it notices at once when its connection is lost. `abort` may be
    called while another thread or a suspended greenlet uses the connections; with an async driver,
    only by the thread of its event loop.
    """

    def __init__(self, engine: Engine, connect: Callable[[], DBAPIConnection]) -> None:
        self.engine = engine
        self._connect = connect
        self._driver = find_driver(engine.dialect.name, engine.dialect.driver)
        self._is_aborted = False
        # By id, because connections of C drivers can be neither hashed nor referred to weakly.
        # Those of the login that is under way, and then of each connection by its id.
        self._login = LoginSockets()
        self._sockets: dict[int, LoginSockets] = {}
        self._opening: dict[int, DBAPIConnection] = {}
        self._open: dict[int, DBAPIConnection] = {}
        event.listen(engine, "do_connect", self._on_do_connect)
        event.listen(engine, "connect", self._on_connect)
        event.listen(engine, "close", self._on_close)
        event.listen(engine, "close_detached", self._on_close)

    def _on_do_connect(self, *_: object) -> DBAPIConnection:
        if self._is_aborted:  # after a failed pre-ping the pool opens a new connection
            raise ConnectionAbortedError("connection aborted")
        self._login = login = LoginSockets()
        try:
            connection = self._log_in(login)
        except BaseException as error:
            # SQLAlchemy makes a cycle of this error and its frames, in which a socket that was not
            # connected yet would stay open until the garbage collector runs.
            traceback.clear_frames(error.__traceback__)
            raise
        if self._is_aborted:  # while it was being opened, when there was nothing to abort yet
            self._close(connection)
            raise ConnectionAbortedError("connection aborted")
        self._opening[id(connection)] = connection
        self._sockets[id(connection)] = login
        return connection

    def _log_in(self, login: LoginSockets) -> DBAPIConnection:
        if self.engine.dialect.is_async:  # its task can be cancelled, and shares its thread
            return self._connect()
        try:
            with record_login(login):
                return self._connect()
        finally:
            if self._login is login:  # else this thread was abandoned meanwhile
                self._login = LoginSockets()

    def _on_connect(self, connection: DBAPIConnection, _record: object) -> None:
        # Runs after the dialect has set the connection up; only now does the pool own it.
        self._opening.pop(id(connection), None)
        self._open[id(connection)] = connection

    def _on_close(self, connection: DBAPIConnection, _record: object = None) -> None:
        self._open.pop(id(connection), None)
        self._sockets.pop(id(connection), None)

    def abort(self) -> int:
        """End every connection without waiting for its server, and open no other until `reset`.

        Returns:
            The number of connections.
        """
        self._is_aborted = True
        connections = [*self._opening.values(), *self._open.values()]
        for connection in connections:
            self._abort(connection)
        return len(connections) + self._login.abort()

    def _abort(self, connection: DBAPIConnection) -> None:
        abort(self.engine.dialect.get_driver_connection(connection), self._driver)
        if sockets := self._sockets.get(id(connection)):
            sockets.abort()

    def reset(self) -> None:
        """Allow new connections, now that the old ones are unused.

        Close those that failed while they were set up: before SQLAlchemy 2.1 the pool does not.
        """
        self._is_aborted = False
        while self._opening:
            key, connection = self._opening.popitem()
            self._close(connection)
            self._sockets.pop(key, None)

    def _close(self, connection: DBAPIConnection) -> None:
        """Close a connection that the pool does not own: psycopg warns about those left open."""
        self._abort(connection)
        if not self.engine.dialect.is_async:  # aborting was the end, and closing would wait
            with suppress(Exception):
                connection.close()

    def untrack(self) -> None:
        """Leave the connections to an abandoned call."""
        self._opening.clear()
        self._open.clear()
        self._sockets.clear()

    def __repr__(self) -> str:
        return f"<ConnectionTracker opening={len(self._opening)} open={len(self._open)}>"


def abort(connection: Any, driver: Driver) -> None:
    """End a driver's connection without waiting for its server. Never raises.

    A call that waits for the server gets the driver's error for a lost connection.
    """
    try:
        driver.abort(connection)
    except Exception as error:  # closed meanwhile, or a driver whose connections cannot be aborted
        logger.debug("cannot abort a connection of %s: %s", driver.name, type(error).__name__)
