"""The shop as an ASGI application, on an async engine and asyncpg."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sqlalchemy_pool_metrics import instrument
from tests.workers.shop.pool import ARGUMENTS, SELL, WAIT_AT_GATE, name_connection

URL = make_url(os.environ["SHOP_URL"]).set(drivername="postgresql+asyncpg")
engine = instrument(create_async_engine(URL, **ARGUMENTS))


@event.listens_for(engine.sync_engine, "do_connect")
def name_it(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    parameters["server_settings"] = {"application_name": name_connection()}


async def work(request: Request) -> PlainTextResponse:
    statement = WAIT_AT_GATE if request.url.path == "/gate" else SELL
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    except PoolTimeoutError:
        return PlainTextResponse(f"503 {os.getpid()}", 503)
    return PlainTextResponse(f"200 {os.getpid()}")


app = Starlette(routes=[Route("/gate", work), Route("/", work)])
