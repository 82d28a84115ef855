"""A network between client and server that can go silent while connections are established."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.servers.endpoints import LOCALHOST


class Relay:
    """Passes bytes between clients and one server. Frozen it takes them and passes on nothing.

    `clients` is how many have not hung up; while frozen it is not seen when one does.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.clients = 0
        self._server_port = server_port
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(client, back))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.clients += 1
        try:
            await self._flows.wait()
            server, forth = await asyncio.open_connection(LOCALHOST, self._server_port)
            await asyncio.gather(self._pass_on(client, forth), self._pass_on(server, back))
        finally:
            self.clients -= 1
            back.close()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flows.wait()
                target.write(data)
                await target.drain()
        target.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def open_relay(server_port: int) -> AsyncIterator[Relay]:
    relay = Relay(server_port)
    listener = await asyncio.start_server(relay.serve, LOCALHOST, 0)
    relay.port = listener.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        listener.close()
        await relay.close()
