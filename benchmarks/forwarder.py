"""A port in front of a server that can refuse, fall silent and come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["Forwarder", "run_forwarder"]

LOCALHOST = "127.0.0.1"


class Forwarder:
    """Forwards bytes to a server's port and back, in its own event loop; for any thread.

    Silent, it accepts connections and bytes and forwards nothing. Refusing, it has dropped its
    connections and does not listen. Opened again, it drops connections that were waiting.
    """

    def __init__(self, server_port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = 0
        self._server_port = server_port
        self._loop = loop
        self._listener: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Forward, and drop connections that were waiting."""
        self._run(self._open())

    def refuse(self) -> None:
        """Drop all connections and refuse new ones."""
        self._run(self._refuse())

    def fall_silent(self) -> None:
        """Accept connections and bytes, and forward nothing."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        if not self._flows.is_set():
            await self._drop()
        self._flows.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, LOCALHOST, self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._drop()

    async def _drop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._forward(client, back))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        writers = [back]
        try:
            await self._flows.wait()
            server, forth = await asyncio.open_connection(LOCALHOST, self._server_port)
            writers.append(forth)
            await asyncio.gather(self._pass_on(client, forth), self._pass_on(server, back))
        finally:
            for writer in writers:
                writer.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flows.wait()
                target.write(data)
                await target.drain()
        target.close()


@contextmanager
def run_forwarder(server_port: int) -> Iterator[Forwarder]:
    """Yield an open forwarder; end its connections and its thread afterwards."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="forwarder")
    thread.start()
    forwarder = Forwarder(server_port, loop)
    try:
        forwarder.open()
        yield forwarder
    finally:
        forwarder.refuse()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
