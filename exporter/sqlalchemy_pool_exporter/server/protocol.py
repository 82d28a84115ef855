"""HTTP on one connection, with an end to whatever a client could do without one.

It knows how much and how long, and in which words it is told; not what is asked for.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Final

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sqlalchemy_pool_exporter.server.limits import Complaints, Limits
from sqlalchemy_pool_exporter.web.responses import answer_text

# Uvicorn writes a line for each request that is none; what there is to say, we say ourselves.
_ERRORS_ONLY: Final = "sqlalchemy_pool_exporter.server.protocol.errors"
# What clients get to read an answer that they did not wait for, and to say goodbye.
PARTING_SECONDS: Final = 0.5
NO_REQUEST: Final = "This is not a request of HTTP/1.1."
# Where a body ends that has both, others may see elsewhere: RFC 9112, 6.3.
LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


def find_logger() -> logging.Logger:
    """Returns a logger for what is wrong with us, not with what clients send."""
    logger = logging.getLogger(_ERRORS_ONLY)
    if logger.level != logging.ERROR:  # setting it is slow
        logger.setLevel(logging.ERROR)
        logger.addFilter(is_no_cancellation)
    return logger


def is_no_cancellation(record: logging.LogRecord) -> bool:
    """False for what uvicorn says of answers that nobody took before the exporter ended."""
    return record.exc_info is None or record.exc_info[0] is not asyncio.CancelledError


class HTTPProtocol(H11Protocol):
    """Counts what the client sends, and is looked at every now and then by `check`."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        limits: Limits,
        complaints: Complaints,
    ) -> None:
        super().__init__(config, state, app_state)
        self.logger = find_logger()
        self._limits = limits
        self._complaints = complaints
        self._raw: asyncio.Transport | None = None
        self._is_refused = False
        self._body_bytes = 0
        # Since when it has been silent; sending a request; not taking an answer, and which one.
        self._heard_at = self.loop.time()
        self._asking_since: float | None = self._heard_at
        self._unread_since: float | None = None
        self._unread: object = None

    def start(self, transport: asyncio.Transport, raw: asyncio.Transport) -> None:
        """Begins; `raw` is the connection below TLS, or the transport itself."""
        self._raw = raw
        transport.set_protocol(self)
        self.connection_made(transport)

    @property
    def waiting_since(self) -> float | None:
        """Since when nothing has been asked of us; None until the answer has been taken."""
        return None if self._is_answering or self.unread_bytes else self._heard_at

    @property
    def unread_bytes(self) -> int:
        """How much of its answers the client leaves with us, below TLS and above."""
        if self._raw is None:
            return 0
        above = 0 if self.transport is self._raw else self.transport.get_write_buffer_size()
        return self._raw.get_write_buffer_size() + above

    @property
    def unread_since(self) -> float | None:
        """Since when the last `check` saw that it does not take its answer; None if it has."""
        return self._unread_since if self.unread_bytes else None

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Feeds a bit at a time: h11 tells that a head is too long when it waits for more of it."""
        step = self._limits.head_bytes // 4
        for start in range(0, len(data), step):
            self._count_body(data[start : start + step])
            if self._is_refused or self.transport.is_closing():
                return
            super().data_received(data[start : start + step])
        self._note_request()

    def handle_events(self) -> None:
        """Answers what is asked, with 503 if too much is."""
        is_busy = len(self.tasks) >= self._limits.requests
        self.app = self._answer_busy if is_busy else self._answer
        super().handle_events()

    def on_response_complete(self) -> None:
        """Goes on to the next request."""
        super().on_response_complete()
        self._note_request()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's
        """Answers what is not HTTP."""
        head, _ = self.conn.trailing_data
        if len(head) > self._limits.head_bytes:
            text = f"The head of a request may have {self._limits.head_bytes} bytes."
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        else:
            self.refuse(HTTPStatus.BAD_REQUEST, NO_REQUEST)

    def check(self, now: float) -> None:
        """Ends what takes too long."""
        self._check_unread(now)
        since = self._asking_since
        if since is None or now - since < self._limits.request_seconds or self._is_refused:
            return
        if self.cycle is None and not self.conn.trailing_data[0]:
            self.transport.close()  # it has never said a word
            return
        seconds = f"{self._limits.request_seconds:g}"
        self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"A request has {seconds} s to arrive.")

    def refuse(self, status: HTTPStatus, text: str) -> None:
        """Gives this answer, unless one is on its way, and hangs up when it could be read."""
        self._complain(f"requests were refused: {status.phrase.lower()}")
        self._is_refused = True
        if self._is_answering:
            # What the application says from now on is not sent.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(status, f"{text}\n".encode())
        self._unset_keepalive_if_required()
        if not self.transport.is_closing():
            # Whoever closes with bytes unread resets the connection, and the answer is lost.
            self.flow.resume_reading()
            self.loop.call_later(PARTING_SECONDS, self._close)

    def abort(self) -> None:
        """Ends the connection now; it is none any more."""
        self.connections.discard(self)
        if self._raw is not None:
            self._raw.abort()

    def drop(self, reason: str) -> None:
        """Ends the connection now and tells why, in one of a few fixed texts."""
        self._complain(reason)
        self.abort()

    def shutdown(self) -> None:
        """Ends the connection, after the answer if one is being given."""
        super().shutdown()
        if self.transport.is_closing():
            # TLS waits for the client's goodbye.
            self.loop.call_later(PARTING_SECONDS, self._part)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _part(self) -> None:
        if self._raw is not None and not self._raw.get_write_buffer_size():
            self._raw.abort()

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        if self._is_answering and self.scope["method"] == "HEAD":
            body = b""
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        head = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _count_body(self, data: bytes) -> None:
        if self.conn.their_state is not h11.SEND_BODY:
            self._body_bytes = 0
            return
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes:
            text = f"The body of a request may have {self._limits.body_bytes} bytes."
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)

    def _note_request(self) -> None:
        """Notes whether the client is in the middle of a request."""
        self._heard_at = now = self.loop.time()
        state = self.conn.their_state
        is_between = state is h11.IDLE and not self.conn.trailing_data[0]
        if state is h11.SEND_BODY or (state is h11.IDLE and not is_between):
            self._asking_since = self._asking_since or now
            return
        self._asking_since = None
        if is_between and self.timeout_keep_alive_task is None:
            # Uvicorn does not when the end of a body comes after the answer.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _check_unread(self, now: float) -> None:
        if not self.unread_bytes:
            self._unread_since = None
        elif self._unread_since is None or self._unread is not self.cycle:
            self._unread_since, self._unread = now, self.cycle
        elif now - self._unread_since >= self._limits.answer_seconds:
            self.drop("clients that did not take their answer were dropped")

    def _complain(self, kind: str) -> None:
        self._complaints.tell(kind, client=self.client[0] if self.client else None)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # One answer that is not taken is enough to keep.
        await self.flow.drain()
        if self.cycle.disconnected:
            return
        if LENGTHS.issubset(name for name, _ in scope["headers"]):
            self.refuse(HTTPStatus.BAD_REQUEST, NO_REQUEST)
            return
        await self.config.loaded_app(scope, receive, send)

    async def _answer_busy(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._complain(f"more than {self._limits.requests} requests at once were refused")
        headers = {"Retry-After": "1", "Connection": "close"}
        answer = answer_text("Too many requests at once; ask again.", 503, headers)
        await answer(scope, receive, send)
