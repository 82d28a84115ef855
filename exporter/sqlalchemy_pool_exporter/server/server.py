"""Uvicorn with our own sockets, TLS, limits and signals."""

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeAlias

import uvicorn
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.reload import Reloader
from sqlalchemy_pool_exporter.server.limits import ClientLogFilter, HTTPProtocol, Limits
from sqlalchemy_pool_exporter.service import Service

logger = logging.getLogger(__name__)

# The loggers of warnings that clients can cause.
CLIENT_LOGGERS: Final = (__name__, HTTPProtocol.__module__, "uvicorn.error")
# How long clients may read their last answers; then their connections are dropped.
GRACE_SECONDS: Final = 0.5
# Uvicorn takes whole seconds; it ends the requests that are still running by then.
CANCEL_SECONDS: Final = 1
# How long accepting pauses after the process has run out of descriptors or memory.
ACCEPT_PAUSE_SECONDS: Final = 1.0
LIMITS: Final = Limits()

Handlers: TypeAlias = dict[signal.Signals, Callable[[int, FrameType | None], None]]


class Server(uvicorn.Server):
    """A server that accepts connections itself, and stops the service while clients still read.

    asyncio's own servers never change their TLS context. Here each new connection uses the context
    in force, so that a reload replaces certificates and policy.
    """

    def __init__(
        self, config: uvicorn.Config, limits: Limits, exit_within: float | None = None
    ) -> None:
        super().__init__(config)
        self._service: Service = config.app.state.service  # type: ignore[union-attr]
        self._reloader: Reloader = config.app.state.reloader  # type: ignore[union-attr]
        self._limits = limits
        self._exit_within = exit_within
        self._log_filter = ClientLogFilter()
        self._accepting: set[asyncio.Task[None]] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._reloading: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, then start the application, and from now on reload it on SIGHUP.

        Raises:
            EnginesError: An engine cannot be built.
        """
        loop = asyncio.get_running_loop()
        for name in CLIENT_LOGGERS:
            logging.getLogger(name).addFilter(self._log_filter)
        for listener in sockets or ():
            listener.setblocking(False)
            self._accepting.add(loop.create_task(self._accept(listener), name="accept clients"))
        # Not left to the application's start: of an error in there uvicorn logs the traceback.
        await self._service.build_databases()
        await super().startup([])  # listens nowhere
        if self._reloader.has_source and threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGHUP, self._reload)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, on SIGTERM or SIGINT."""
        if self._exit_within is not None and not self.should_exit:
            start_countdown(self._exit_within)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the checks that requests wait for, then the requests."""
        logger.info("stopping")
        stopping = asyncio.create_task(self._service.stop())
        ending = [*self._accepting, *self._connecting]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        dropping = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._drop_connections)
        await super().shutdown(sockets)
        dropping.cancel()
        await stopping
        for name in CLIENT_LOGGERS:
            logging.getLogger(name).removeFilter(self._log_filter)

    def _drop_connections(self) -> None:
        # A client that does not read would hold up uvicorn, which waits until answers are sent.
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _reload(self) -> None:
        self._reloading = asyncio.create_task(self._reloader.reload_quietly())

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            # sock_accept() does not yield while clients are waiting: let other tasks run.
            await asyncio.sleep(0)
            try:
                client, address = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                logger.warning("no connection can be accepted", extra={"reason": error.strerror})
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            open_now = len(self.server_state.connections) + len(self._connecting)
            if open_now >= self._limits.connections:
                client.close()
                extra = {"client": address[0], "limit": self._limits.connections}
                logger.warning("connection refused: too many are open", extra=extra)
                continue
            task = loop.create_task(self._connect(client, address[0]))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: socket.socket, host: str) -> None:
        """Hand the connection to uvicorn, after a TLS handshake if the web policy requires TLS."""
        loop = asyncio.get_running_loop()
        context = self._service.web_policy.context
        options: dict[str, Any] = {}
        if context is not None:
            options["ssl_handshake_timeout"] = self._limits.handshake_seconds
            options["ssl_shutdown_timeout"] = self._limits.tls_shutdown_seconds
        try:
            end_unread_answers(client, self._limits.answer_seconds)
            await loop.connect_accepted_socket(self._build_protocol, client, ssl=context, **options)
        except ssl.SSLError as error:
            logger.warning("TLS handshake failed", extra={"client": host, "reason": error.reason})
        except OSError:
            pass  # the client hung up, or was too slow

    def _build_protocol(self) -> HTTPProtocol:
        tls = self._service.web_policy.config.tls_server_config
        return HTTPProtocol(
            self.config,
            self.server_state,
            self.lifespan.state,
            self._limits.request_seconds,
            tls.client_allowed_sans,
        )


def serve(app: Starlette, listener: socket.socket, *, exit_within: float | None = None) -> None:
    """Serve until SIGTERM or SIGINT, in the main thread; close the listener.

    Serving ends within two seconds of the signal.

    Args:
        app: What to serve; its state holds the service.
        listener: Where clients wait to be accepted.
        exit_within: Seconds after the signal until the whole process ends, whatever still hangs.
            For callers that have nothing left to do.

    Raises:
        EnginesError: An engine cannot be built.
    """
    server = build_server(app, exit_within=exit_within)
    handlers: Handlers = dict.fromkeys((signal.SIGTERM, signal.SIGINT), server.handle_exit)
    reloader: Reloader = app.state.reloader
    if reloader.has_source:  # before the start and after the end there is nothing to reload
        handlers[signal.SIGHUP] = lambda _number, _frame: None
    with handle_signals(handlers):
        server.run(sockets=[listener])


def build_server(
    app: Starlette, limits: Limits = LIMITS, exit_within: float | None = None
) -> Server:
    """Return a server for the app; its `run` takes the listener."""
    limits = limits.fit_descriptors()
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.requests,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=CANCEL_SECONDS,
        h11_max_incomplete_event_size=limits.head_bytes,
    )
    return Server(config, limits, exit_within)


def end_unread_answers(client: socket.socket, seconds: float) -> None:
    """Make the kernel end the connection if the client reads nothing of an answer for this long.

    Linux counts from the moment at which the client's receive window is full. Systems without this
    option keep such a connection.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = int(seconds * 1000)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def start_countdown(seconds: float) -> None:
    """End the process after this time unless it ends by itself; in the main thread only.

    Python waits for every thread of an executor, and one that asks a silent name server may take
    half a minute. The kernel's timer does not wait. A thread cannot replace it: a signal handler
    may interrupt the start of a thread, so it must not start one.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def handle_signals(handlers: Handlers) -> Iterator[None]:
    """Handle signals that come before uvicorn handles them, and those that it raises at its end."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
