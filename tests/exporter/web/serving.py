"""An app behind the real server in this event loop, and clients that talk to it byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.server.limits import Limits
from sqlalchemy_pool_exporter.server.listener import open_listener, read_address
from sqlalchemy_pool_exporter.server.server import Server, build_server
from sqlalchemy_pool_exporter.settings.fields import Address
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import build_app
from tests.servers.endpoints import LOCALHOST

PATIENCE = 30.0


def write_web_config(folder: Path, config: Mapping[str, Any] | str) -> Path:
    file = folder / "web.yml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(dict(config)))
    return file


def build_guarded_app(file: Path | None) -> Starlette:
    """An app without databases that obeys this web configuration."""
    return build_app({}, web={"config_file": file})


@dataclass(frozen=True, slots=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_answer(self) -> tuple[int, str]:
        """Status and body of an answer that says how long it is."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            lengths = [line for line in head.lower().splitlines() if "content-length" in line]
            body = await self.reader.readexactly(int(lengths[0].split(":")[1]))
        return int(head.split()[1]), body.decode()

    async def read_end(self) -> bytes:
        """The bytes that arrive before the server hangs up."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@dataclass(frozen=True, slots=True)
class Served:
    app: Starlette
    server: Server
    port: int

    @property
    def web_policy(self) -> WebPolicy:
        policy = self.app.state.service.web_policy
        assert isinstance(policy, WebPolicy)
        return policy

    async def reload(self) -> None:
        await self.app.state.reloader.reload_quietly()

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @asynccontextmanager
    async def connect(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection(LOCALHOST, self.port, ssl=context)
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    def open_client(
        self, context: ssl.SSLContext | None = None, **options: Any
    ) -> httpx.AsyncClient:
        scheme = "http" if context is None else "https"
        return httpx.AsyncClient(
            base_url=f"{scheme}://{LOCALHOST}:{self.port}",
            verify=context or False,
            timeout=PATIENCE,
            **options,
        )


@asynccontextmanager
async def serve(
    app: Starlette, limits: Limits | None = None, *, is_started: bool = True
) -> AsyncIterator[Served]:
    """Serves the app until the block ends, which begins before or after the app has started."""
    listener = open_listener(Address(LOCALHOST, 0))
    port = read_address(listener).port
    server = build_server(app, limits or Limits())
    serving = asyncio.create_task(server.serve([listener]))
    try:
        await wait_for(lambda: server.started or serving.done() or not is_started)
        yield Served(app, server, port)
    finally:
        server.should_exit = True
        await serving
