"""The HTTP server around the application, and an end of it that cannot be held up.

It knows uvicorn and signals, nothing of what is served.
"""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeAlias, cast

import uvicorn
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.reload import Reloader
from sqlalchemy_pool_exporter.server.connections import Entrance
from sqlalchemy_pool_exporter.server.limits import Complaints, Limits
from sqlalchemy_pool_exporter.server.protocol import HTTPProtocol
from sqlalchemy_pool_exporter.service import Service

logger = logging.getLogger(__name__)

# Prometheus keeps its connection between scrapes, which are a minute apart at most.
KEEP_ALIVE_SECONDS: Final = 75
# What clients get to read what was asked for; then their connections are dropped.
GRACE_SECONDS: Final = 1
LIMITS: Final = Limits()

Handlers: TypeAlias = dict[signal.Signals, Callable[[int, FrameType | None], None]]


class Server(uvicorn.Server):
    """Stops the service while clients read their last answers, not after."""

    def __init__(
        self, config: uvicorn.Config, limits: Limits, exit_within: float | None = None
    ) -> None:
        super().__init__(config)
        self._service: Service = config.app.state.service  # type: ignore[union-attr]
        self._reloader: Reloader = config.app.state.reloader  # type: ignore[union-attr]
        self._limits = limits.fit_descriptors()
        self._complaints = Complaints()
        self._entrance = self._build_entrance()
        self._looking: asyncio.Task[None] | None = None
        self._exit_within = exit_within
        self._reloading: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to serve; from now on SIGHUP reloads a configuration that has a source."""
        await super().startup([])  # without sockets of its own
        loop = asyncio.get_running_loop()
        backlog = self.config.backlog
        open_door = self._entrance.open_door
        self.servers = [
            await loop.create_server(open_door, sock=listener, backlog=backlog)
            for listener in sockets or ()
        ]
        self._looking = loop.create_task(self._entrance.look(), name="look at clients")
        if self._reloader.has_source and threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        self._reloading = asyncio.create_task(self._reloader.reload_quietly())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end, on SIGTERM or SIGINT."""
        if self._exit_within is not None and not self.should_exit:
            start_countdown(self._exit_within)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the checks that requests wait for, then the requests."""
        logger.info("stopping")
        stopping = asyncio.create_task(self._service.stop())
        if self._looking is not None:
            self._looking.cancel()
        self._entrance.close()
        await super().shutdown(sockets)
        await stopping

    def _build_entrance(self) -> Entrance:
        return Entrance(
            self._service.web_policy,
            self._limits,
            self._complaints,
            cast(set[HTTPProtocol], self.server_state.connections),
            self._build_protocol,
        )

    def _build_protocol(self) -> HTTPProtocol:
        return HTTPProtocol(
            self.config, self.server_state, self.lifespan.state, self._limits, self._complaints
        )


def serve(app: Starlette, listener: socket.socket, *, exit_within: float | None = None) -> None:
    """Serves until SIGTERM or SIGINT, in the main thread; closes the listener.

    Serving ends within two seconds of the signal. With `exit_within` the whole process does, so
    many seconds after it and whatever still hangs: for callers that have nothing left to do.
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
    """Returns a server for the app; its `run` takes the listener."""
    config = uvicorn.Config(
        app,
        http=HTTPProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=limits.head_bytes,
    )
    return Server(config, limits, exit_within)


def start_countdown(seconds: float) -> None:
    """Ends the process in so many seconds unless it ends by itself; in the main thread only.

    Python waits for every thread of an executor, and one that asks a silent name server may take
    half a minute. The kernel does not; and a signal handler, which may interrupt the start of a
    thread, must not start one.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def handle_signals(handlers: Handlers) -> Iterator[None]:
    """Handles signals that come before uvicorn does, and those that it raises again at its end."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
