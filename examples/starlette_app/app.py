"""A Starlette app on an async engine; README.md explains how to run it with the exporter."""

import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sqlalchemy_pool_metrics import instrument

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=5)
instrument(engine, name="orders")  # the only line for the exporter


async def read_time(_request: Request) -> JSONResponse:
    """Return the database's time."""
    async with engine.connect() as connection:
        now = await connection.scalar(text("SELECT now()::text"))
    return JSONResponse({"now": now})


app = Starlette(routes=[Route("/", read_time)])
