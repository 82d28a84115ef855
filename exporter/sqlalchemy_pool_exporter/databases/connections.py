"""The driver connections that an engine has open, and how to hang up on one that hangs.

Knows drivers' connections from outside only: no SQL, no pools' insides, no probes.
"""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

logger = logging.getLogger(__name__)


class ConnectionTracker:
    """What an engine has opened and not closed yet.

    A driver that waits for a silent server neither notices a cancelled task nor can its thread be
    stopped; losing its connection it notices at once. `abort` may be called while the connections
    are in use by another thread or a suspended greenlet; for async drivers only by the thread of
    their event loop.
    """

    def __init__(self, engine: Engine, connect: Callable[[], DBAPIConnection]) -> None:
        self.engine = engine
        self._connect = connect
        self._is_hung_up = False
        # By id, because connections of C drivers can be neither hashed nor referred to weakly.
        self._opening: dict[int, DBAPIConnection] = {}
        self._open: dict[int, DBAPIConnection] = {}
        event.listen(engine, "do_connect", self._on_do_connect)
        event.listen(engine, "connect", self._on_connect)
        event.listen(engine, "close", self._on_close)
        event.listen(engine, "close_detached", self._on_close)

    def _on_do_connect(self, *_: object) -> DBAPIConnection:
        if self._is_hung_up:  # a failed pre-ping would go on with a new connection
            raise ConnectionAbortedError("hung up")
        try:
            connection = self._connect()
        except BaseException as error:
            # SQLAlchemy makes a cycle of this error and its frames, in which a socket that was not
            # connected yet would stay open until the garbage collector comes by.
            traceback.clear_frames(error.__traceback__)
            raise
        if self._is_hung_up:  # while it was being opened, when there was nothing to hang up on
            self._end(connection)
            raise ConnectionAbortedError("hung up")
        self._opening[id(connection)] = connection
        return connection

    def _on_connect(self, connection: DBAPIConnection, _record: object) -> None:
        """Run after the dialect has set the connection up; only then does the pool own it."""
        self._opening.pop(id(connection), None)
        self._open[id(connection)] = connection

    def _on_close(self, connection: DBAPIConnection, _record: object = None) -> None:
        self._open.pop(id(connection), None)

    def abort(self) -> int:
        """Cut every connection off without waiting for its server; returns how many there were.

        No other is opened until `settle`.
        """
        self._is_hung_up = True
        connections = [*self._opening.values(), *self._open.values()]
        for connection in connections:
            abort(self.engine.dialect.get_driver_connection(connection))
        return len(connections)

    def settle(self) -> None:
        """Call it when nobody uses the connections, so that others may be opened again.

        Ends what failed while it was set up, which before SQLAlchemy 2.1 the pool forgets to.
        """
        self._is_hung_up = False
        while self._opening:
            _, connection = self._opening.popitem()
            self._end(connection)

    def _end(self, connection: DBAPIConnection) -> None:
        """End a connection the pool does not know: psycopg complains about those left open."""
        abort(self.engine.dialect.get_driver_connection(connection))
        if not self.engine.dialect.is_async:  # hanging up was the end, and closing would wait
            with suppress(Exception):
                connection.close()

    def forget(self) -> None:
        """Leave the connections to a call that was given up on."""
        self._opening.clear()
        self._open.clear()

    def __repr__(self) -> str:
        return f"<ConnectionTracker opening={len(self._opening)} open={len(self._open)}>"


def abort(connection: Any) -> None:
    """End a driver's connection without waiting, whatever it is doing; never raises.

    Whoever waits for the connection's server gets the driver's error for a lost connection.
    """
    module = type(connection).__module__.partition(".")[0]
    try:
        WAYS.get(module, shut_down_descriptor)(connection)
    except Exception as error:  # closed meanwhile, or a driver that cannot be hung up on
        logger.debug("cannot hang up on %s: %s", module, type(error).__name__)


def terminate(connection: Any) -> None:
    connection.terminate()


def interrupt(connection: Any) -> None:
    connection.interrupt()


def interrupt_wrapped(connection: Any) -> None:
    connection._conn.interrupt()  # its own interrupt() queues behind the statement that hangs


def shut_down_socket(connection: Any) -> None:
    # Not SSLSocket.shutdown(): that pulls the TLS state from under the thread that reads.
    socket.socket.shutdown(connection._sock, socket.SHUT_RDWR)


def shut_down_descriptor(connection: Any) -> None:
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


WAYS: dict[str, Callable[[Any], None]] = {
    "asyncpg": terminate,
    "sqlite3": interrupt,
    "aiosqlite": interrupt_wrapped,
    "pymysql": shut_down_socket,
}
