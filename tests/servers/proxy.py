"""A TCP proxy between clients and a server that can fail like networks and servers.

It runs in its own thread, so that it neither blocks an event loop under test nor leaves tasks in
it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from tests.servers.endpoints import LOCALHOST, find_free_port

T = TypeVar("T")

CHUNK = 65536
CALL_SECONDS = 10.0
# Lingering for 0 seconds makes close() send RST instead of FIN.
RESET = struct.pack("ii", 1, 0)


class Link:
    """A client's connection and the one to the server behind it.

    Attributes:
        is_lost: Bytes vanish for good.
        left: How many more bytes of the server the client gets; None for all.
    """

    def __init__(self, client: socket.socket, left: int | None, *, is_lost: bool) -> None:
        self.client = client
        self.server: socket.socket | None = None
        self.left = left
        self.is_lost = is_lost

    def take(self, data: bytes) -> bytes:
        """Return those of the server's bytes that the client still gets."""
        if self.left is None:
            return data
        data = data[: self.left]
        self.left -= len(data)
        return data

    def reset(self) -> None:
        """End the client's connection with RST; nothing passes any more."""
        self.is_lost = True
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def close(self) -> None:
        self.client.close()
        if self.server is not None:
            self.server.close()


class Proxy:
    """Forwards bytes; every fault lasts until `heal()`. For any thread.

    Attributes:
        accepted: Connections accepted so far.
        clients: Open connections.
        most_clients: The most connections that were open at once.
        bytes_to_server: Bytes forwarded to the server.
        bytes_to_client: Bytes forwarded to clients.
    """

    def __init__(self, server_port: int) -> None:
        self.accepted = 0
        self.clients = 0
        self.most_clients = 0
        self.bytes_to_server = 0
        self.bytes_to_client = 0
        self._server_port = server_port
        self._listener = socket.socket()
        self._listener.setblocking(False)
        self._links: dict[asyncio.Task[None], Link] = {}
        self._loop = asyncio.new_event_loop()
        self._healed = asyncio.Event()
        self._forget_faults()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = bind_by_number(self._listener)

    def _forget_faults(self) -> None:
        self._is_silent = False
        self._delay_seconds: float | None = 0.0
        self._cut_after: int | None = None
        self._reset_at: bytes | None = None

    def lead_to(self, server_port: int) -> None:
        """Forward new connections to another server; established ones stay."""
        self._server_port = server_port

    def refuse(self) -> None:
        """Refuse new connections, and keep the port; established ones stay."""
        self._do(self._stop_listening)

    def stay_silent(self) -> None:
        """Accept new connections and never answer them; established ones stay."""
        self._is_silent = True

    def lose(self) -> None:
        """Drop all bytes of established connections, for good; new ones work."""
        self._do(self._lose)

    def freeze(self) -> None:
        """Hold all bytes back until it heals; new connections are accepted.

        Meanwhile the proxy does not notice that a client disconnects.
        """
        self.delay(None)

    def reset_at(self, marker: bytes) -> None:
        """Reset a connection when its client has sent these bytes, before the answer."""
        self._reset_at = marker

    def delay(self, seconds: float | None) -> None:
        """Delay all bytes by so many seconds in each direction; None until it heals."""
        self._do(self._healed.clear)
        self._delay_seconds = seconds

    def cut_after(self, count: int) -> None:
        """End every connection after so many further bytes of the server."""
        self._do(lambda: self._cut(count))

    def heal(self) -> None:
        """End the faults for new connections; lost ones stay lost."""
        self._do(self._heal)

    def _stop_listening(self) -> None:
        self._accepting.cancel()
        self._listener.shutdown(socket.SHUT_RD)

    def _lose(self) -> None:
        for link in self._links.values():
            link.is_lost = True

    def _cut(self, count: int) -> None:
        self._cut_after = count
        for link in self._links.values():
            link.left = count

    def _heal(self) -> None:
        self._forget_faults()
        self._healed.set()
        for link in self._links.values():
            link.left = None
        if self._accepting.cancelled() or self._accepting.cancelling():
            self._listen()

    def _listen(self) -> None:
        self._listener.listen()
        self._accepting = self._loop.create_task(self._accept())

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            prepare(client)
            link = Link(client, self._cut_after, is_lost=self._is_silent)
            task = self._loop.create_task(self._serve(link))
            self._links[task] = link
            self.accepted += 1
            self.clients = len(self._links)
            self.most_clients = max(self.most_clients, self.clients)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._links.pop(task).close()
        self.clients = len(self._links)

    async def _serve(self, link: Link) -> None:
        with suppress(OSError):
            if link.is_lost:
                await self._swallow(link)
            else:
                await self._connect(link)
                await self._carry(link)

    async def _swallow(self, link: Link) -> None:
        while await self._loop.sock_recv(link.client, CHUNK):
            pass

    async def _connect(self, link: Link) -> None:
        await self._hold_up()
        link.server = socket.socket()
        prepare(link.server)
        await self._loop.sock_connect(link.server, (LOCALHOST, self._server_port))

    async def _carry(self, link: Link) -> None:
        ways = {
            self._loop.create_task(self._carry_forth(link)),
            self._loop.create_task(self._carry_back(link)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry_forth(self, link: Link) -> None:
        assert link.server is not None
        while data := await self._loop.sock_recv(link.client, CHUNK):
            await self._hold_up()
            if link.is_lost:
                continue
            is_fatal = self._reset_at is not None and self._reset_at in data
            if is_fatal:
                link.reset()
            self.bytes_to_server += len(data)  # before a client can know them
            await self._loop.sock_sendall(link.server, data)
            if is_fatal:
                return

    async def _carry_back(self, link: Link) -> None:
        assert link.server is not None
        while data := await self._loop.sock_recv(link.server, CHUNK):
            await self._hold_up()
            if link.is_lost:
                continue
            data = link.take(data)
            self.bytes_to_client += len(data)
            await self._loop.sock_sendall(link.client, data)
            if link.left == 0:
                return
        if link.is_lost:  # nor does the client notice that the server has disconnected
            await asyncio.Event().wait()

    async def _hold_up(self) -> None:
        if self._delay_seconds != 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._healed.wait(), self._delay_seconds)

    def _do(self, call: Callable[[], T]) -> T:
        """Make a call in the proxy's thread, and wait for it."""

        async def make() -> T:
            return call()

        return self._run(make())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_SECONDS)

    async def _end(self) -> None:
        tasks = [self._accepting, *self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def serve(self) -> None:
        """Serve until `close()`; for the thread of the proxy."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def open(self) -> None:
        self._do(self._listen)

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def destroy(self) -> None:
        """Close the event loop, after its thread has ended."""
        self._loop.close()
        self._listener.close()


def bind_by_number(listener: socket.socket) -> int:
    """Bind a port by its number, because only then it stays ours while it refuses connections.

    Another process may take the free port first, so try several.
    """
    while True:
        port = find_free_port()
        try:
            listener.bind((LOCALHOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port


def prepare(connection: socket.socket) -> None:
    """Send small packets at once: Nagle's algorithm would delay them by 40 ms."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextmanager
def open_proxy(server_port: int) -> Iterator[Proxy]:
    """Run a proxy in front of a port of this machine; it ends every connection at the end."""
    proxy = Proxy(server_port)
    thread = threading.Thread(target=proxy.serve, name="proxy", daemon=True)
    thread.start()
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
        proxy.destroy()
