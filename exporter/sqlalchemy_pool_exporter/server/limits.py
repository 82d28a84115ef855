"""What one client may cost: the limits, a deadline for its requests, and its share of the log."""

import asyncio
import logging
import resource
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sqlalchemy_pool_exporter.web_config import is_allowed

logger = logging.getLogger(__name__)

# Descriptors kept free for databases, files and libraries.
RESERVED: Final = 128
REPEAT_SECONDS: Final = 60.0
SHORT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts, bytes and seconds; docs/web-config.md says what happens beyond each."""

    connections: int = 640
    # Below the limit of connections, so that clients beyond it can still read the 503.
    requests: int = 512
    head_bytes: int = 16 * 1024
    handshake_seconds: float = 10
    # How long TLS waits for the client to close its side.
    tls_shutdown_seconds: float = 0.5
    request_seconds: float = 10
    answer_seconds: float = 30
    # Prometheus keeps its connection between scrapes, which are a minute apart at most.
    idle_seconds: int = 75

    def fit_descriptors(self) -> Self:
        """Return the limits with no more connections than the process can have open."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most == resource.RLIM_INFINITY or most - RESERVED >= self.connections:
            return self
        connections = max(most - RESERVED, 1)
        return replace(self, connections=connections, requests=min(self.requests, connections))


class Connection(h11.Connection):
    """Sends the head of a short response together with its body.

    uvicorn writes one after the other, which wakes the client twice: a tenth of a small scrape.
    """

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_head_bytes)
        self._head = b""

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]
        """Return the bytes to write: none yet for the head of a short response."""
        output = super().send(event)
        if isinstance(event, h11.Response) and is_short(event):
            self._head, output = output or b"", b""
        elif self._head:
            self._head, output = b"", self._head + (output or b"")
        return output


def is_short(response: h11.Response) -> bool:
    """Return whether copying the body costs less than another write."""
    return int(dict(response.headers).get(b"content-length", SHORT_BYTES)) < SHORT_BYTES


class HTTPProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with a deadline for each request to arrive, its body included.

    Uvicorn has none: https://github.com/Kludex/uvicorn/issues/157. This uses its undocumented
    `conn`, `loop`, `client`, `transport` and `timeout_keep_alive_task`, so pyproject.toml allows
    only the versions that the tests pass with.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        request_seconds: float,
        allowed_sans: Collection[str] = (),
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = Connection(config.h11_max_incomplete_event_size or Limits().head_bytes)
        self._request_seconds = request_seconds
        self._allowed_sans = allowed_sans
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request; hang up if the client's certificate has no allowed name."""
        super().connection_made(transport)
        self._set_deadline()
        names = self._allowed_sans
        if names and not is_allowed(transport.get_extra_info("peercert"), names):
            client = self.client[0] if self.client else None
            logger.warning("client certificate has no allowed SAN", extra={"client": client})
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle the next bytes of the client."""
        super().data_received(data)
        self._set_deadline()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._clear_deadline()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP; hang up if an answer has already begun."""
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
        else:  # uvicorn would send a second answer, and log a traceback of h11's refusal
            self.transport.abort()

    def _set_deadline(self) -> None:
        is_arriving = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        # Between requests uvicorn's own timer runs. It does not after a body that came late.
        if not is_arriving or self.timeout_keep_alive_task is not None:
            self._clear_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._request_seconds, self.transport.close)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class ClientLogFilter(logging.Filter):
    """Lets the same warning through once a minute: clients must not fill the log.

    Drops the tracebacks of requests that are cancelled when the exporter ends.
    """

    def __init__(self, read_clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._read_clock = read_clock
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if record.exc_info and record.exc_info[0] is asyncio.CancelledError:
            return False
        if record.levelno != logging.WARNING:
            return True
        now = self._read_clock()
        if now - self._logged_at.get(record.msg, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._logged_at[record.msg] = now
        return True
