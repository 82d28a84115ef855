"""The HTTP server around the application, and an end of it that cannot be held up.

It knows uvicorn and signals, nothing of what is served.
"""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from exporter.web.service import Service

# Prometheus keeps its connection between scrapes, which are a minute apart at most.
KEEP_ALIVE_SECONDS: Final = 75
# What clients get to read what was asked for; then their connections are dropped.
GRACE_SECONDS: Final = 1


class Server(uvicorn.Server):
    """Stops the service while clients read their last answers, not after."""

    def __init__(self, config: uvicorn.Config, service: Service, exit_within: float | None) -> None:
        super().__init__(config)
        self._service = service
        self._exit_within = exit_within

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end, on SIGTERM or SIGINT."""
        if self._exit_within is not None and not self.should_exit:
            start_countdown(self._exit_within)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the checks that requests wait for, then the requests."""
        stopping = asyncio.create_task(self._service.stop())
        await super().shutdown(sockets)
        await stopping


def serve(app: Starlette, listener: socket.socket, *, exit_within: float | None = None) -> None:
    """Serves until SIGTERM or SIGINT, in the main thread; closes the listener.

    Serving ends within two seconds of the signal. With `exit_within` the whole process does, so
    many seconds after it and whatever still hangs: for callers that have nothing left to do.
    """
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
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with swallow_signals():
        Server(config, app.state.service, exit_within).run(sockets=[listener])


def start_countdown(seconds: float) -> None:
    """Ends the process in so many seconds unless it ends by itself; in the main thread only.

    Python waits for every thread of an executor, and one that asks a silent name server may take
    half a minute. The kernel does not; and a signal handler, which may interrupt the start of a
    thread, must not start one.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def swallow_signals() -> Iterator[None]:
    """Lets a signal that was obeyed end there: uvicorn raises it again once it has shut down."""
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
