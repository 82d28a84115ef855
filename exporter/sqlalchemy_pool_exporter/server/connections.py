"""Connections from their first moment: counted, and by TLS where the rules say so.

It knows nothing of requests.
"""

import asyncio
import ssl
from collections.abc import Callable, Collection
from math import inf

from sqlalchemy_pool_exporter.server.limits import Complaints, Limits
from sqlalchemy_pool_exporter.server.protocol import HTTPProtocol
from sqlalchemy_pool_exporter.web_config import is_allowed
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy


class Entrance:
    """Lets clients in; `inside` are the connections that speak HTTP, which keep it right."""

    def __init__(
        self,
        policy: WebPolicy,
        limits: Limits,
        complaints: Complaints,
        inside: set[HTTPProtocol],
        build_protocol: Callable[[], HTTPProtocol],
    ) -> None:
        self.policy = policy
        self.limits = limits
        self.complaints = complaints
        self.build_protocol = build_protocol
        self.doors: set[Door] = set()
        self._inside = inside

    def open_door(self) -> "Door":
        """Returns what a new connection begins with."""
        return Door(self)

    def make_room(self) -> bool:
        """Whether there is room for one more.

        There is if one can be ended from which nothing is being asked: the longest silent; or else
        the one that leaves its answer unread longest. So those who open connections and do
        nothing keep nobody out.
        """
        if len(self._inside) + len(self.doors) < self.limits.connections:
            return True
        self.complaints.tell(f"more than {self.limits.connections} connections at once were ended")
        everybody: list[HTTPProtocol | Door] = [*self._inside, *self.doors]
        longest = min(everybody, key=lambda each: each.waiting_since or inf)
        if longest.waiting_since is None:
            return self._end_unread()
        longest.abort()
        return True

    def _end_unread(self) -> bool:
        longest = min(self._inside, key=_rank_unread)
        if longest.unread_since is None:
            return False
        longest.abort()
        return True

    async def look(self) -> None:
        """Looks at all connections again and again until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.look_seconds)
            for connection in tuple(self._inside):
                connection.check(loop.time())
            self._drop_unread()

    def _drop_unread(self) -> None:
        """Ends those that leave answers unread longest, until the others' are within the limit."""
        unread = sum(each.unread_bytes for each in self._inside)
        for each in sorted(self._inside, key=_rank_unread):
            if unread <= self.limits.unread_bytes:
                return
            unread -= each.unread_bytes
            each.drop(f"more than {self.limits.unread_bytes} bytes of unread answers were dropped")

    def close(self) -> None:
        """Ends those that are not inside yet."""
        for door in tuple(self.doors):
            door.abort()


def _rank_unread(connection: HTTPProtocol) -> float:
    return connection.unread_since or inf


class Door(asyncio.Protocol):
    """A connection until it speaks HTTP."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._loop = asyncio.get_running_loop()
        self._raw: asyncio.Transport | None = None
        self._shaking: asyncio.Task[None] | None = None
        # What came with the end of the handshake.
        self._early = b""
        self.waiting_since: float | None = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enters at once, or after a handshake."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._raw = transport
        if not self._entrance.make_room():
            self.abort()
        elif self._entrance.policy.context is None:
            self._entrance.build_protocol().start(transport, transport)
        else:
            transport.pause_reading()
            self._entrance.doors.add(self)
            shaking = self._shake_hands(transport, self._entrance.policy.context)
            self._shaking = self._loop.create_task(shaking)

    def data_received(self, data: bytes) -> None:
        """Keeps what the protocol to come is to read."""
        self._early += data

    def abort(self) -> None:
        """Ends the connection now; it is none any more."""
        self._entrance.doors.discard(self)
        if self._raw is not None:
            self._raw.abort()

    async def _shake_hands(self, raw: asyncio.Transport, context: ssl.SSLContext) -> None:
        tls = self._entrance.policy.config.tls_server_config
        secure = None
        try:
            secure = await self._start_tls(raw, context)
        except ssl.SSLError as error:
            self._complain("TLS handshakes failed", raw, reason=error.reason)
        except OSError:
            # Those who hang up, or are not done in time, are not worth a word.
            raw.abort()
        finally:
            self._entrance.doors.discard(self)
        # Without an error it is None when the client was gone in the middle.
        if secure is None or secure.is_closing():
            return
        if self._may_enter(secure, tls.client_allowed_sans):
            self._enter(secure, raw)
        else:
            self._complain("clients with none of client_allowed_sans were dropped", raw)
            raw.abort()

    async def _start_tls(
        self, raw: asyncio.Transport, context: ssl.SSLContext
    ) -> asyncio.Transport | None:
        return await self._loop.start_tls(
            raw,
            self,
            context,
            server_side=True,
            ssl_handshake_timeout=self._entrance.limits.handshake_seconds,
            ssl_shutdown_timeout=self._entrance.limits.answer_seconds,
        )

    def _may_enter(self, secure: asyncio.Transport, allowed: Collection[str]) -> bool:
        return not allowed or is_allowed(secure.get_extra_info("peercert"), allowed)

    def _enter(self, secure: asyncio.Transport, raw: asyncio.Transport) -> None:
        protocol = self._entrance.build_protocol()
        protocol.start(secure, raw)
        if self._early:
            protocol.data_received(self._early)

    def _complain(self, kind: str, raw: asyncio.Transport, **extra: object) -> None:
        client = raw.get_extra_info("peername")
        self._entrance.complaints.tell(kind, client=client[0] if client else None, **extra)
