"""Clients of an exporter in this process: settings to app, app to requests, without a server."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.service import Service
from sqlalchemy_pool_exporter.settings import Settings
from sqlalchemy_pool_exporter.web.app import create_app

CANARY = "cAnArY-7"
Databases = Mapping[str, Mapping[str, Any]]


def build_app(databases: Databases, **keys: Any) -> Starlette:
    """An app whose databases are probed at its start, and then only when asked."""
    keys.setdefault("probe", {"interval": "1h", "timeout": "30s"})
    # One database or a folder of an application is the least that makes sense.
    keys.setdefault("app", {"dir": "/nonexistent"})
    settings = Settings.model_validate({"databases": databases, **keys})
    return create_app(settings)


def build_down(port: int, driver: str = "postgresql+asyncpg") -> dict[str, Any]:
    """A database on this port, with a password to look for."""
    return {"url": f"{driver}://app:{CANARY}@127.0.0.1:{port}/shop"}


@asynccontextmanager
async def open_client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Yields a client while the app's lifespan lasts."""
    async with app.router.lifespan_context(app), connect(app) as client:
        yield client


def connect(app: Starlette) -> httpx.AsyncClient:
    """A client of the app, whatever state that is in."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://exporter")


def read_service(app: Starlette) -> Service:
    service = app.state.service
    assert isinstance(service, Service)
    return service
