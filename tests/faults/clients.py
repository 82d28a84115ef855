"""Engines of all drivers behind one interface: run statements, or return their failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_pool_exporter.dialects import classify
from sqlalchemy_pool_exporter.failures import Failure
from sqlalchemy_pool_exporter.failures.message import MAX_LENGTH
from tests.servers.endpoints import LOCALHOST

# A statement, or a function that is called between statements.
Step = str | Callable[[], object]
# For connect(): long enough for a busy machine, short enough for a test.
TIMEOUT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Client:
    """A driver, sync or async; `timeouts`, `tls` and `read_only` are connect arguments."""

    scheme: str
    driver: str
    is_async: bool
    timeouts: Mapping[str, Any]
    tls: Mapping[str, Any]
    read_only: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.driver}-async" if self.is_async else self.driver

    def url(self, port: int, host: str = LOCALHOST) -> str:
        """Return a URL of an address without a server."""
        return f"{self.scheme}+{self.driver}://app:s3cret@{host}:{port}/shop"

    def run(self, url: str, *steps: Step, **connect_args: Any) -> None:
        """Run statements; raises what an application would see."""
        if self.is_async:
            asyncio.run(self._run_async(url, steps, connect_args))
            return
        engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
        with engine.connect() as connection:
            for step in steps:
                step() if callable(step) else connection.execute(text(step))

    async def _run_async(
        self, url: str, steps: tuple[Step, ...], connect_args: Mapping[str, Any]
    ) -> None:
        engine = create_async_engine(url, poolclass=NullPool, connect_args=dict(connect_args))
        async with engine.connect() as connection:
            for step in steps:
                step() if callable(step) else await connection.execute(text(step))

    def fail(self, url: str, *steps: Step, **connect_args: Any) -> Failure:
        """Return the failure that the exporter would show: one line, without the password."""
        password = make_url(url).password or ""
        try:
            self.run(url, *steps, **connect_args)
        except Exception as error:  # the drivers have no base class in common
            failure = classify(error, [password])
        else:
            pytest.fail(f"{self} had no trouble at all")
        assert password not in failure.message
        assert failure.message.isprintable()
        assert 0 < len(failure.message) <= MAX_LENGTH
        return failure


ASYNCPG = Client(
    "postgresql",
    "asyncpg",
    is_async=True,
    timeouts={"timeout": TIMEOUT_SECONDS},
    tls={"ssl": "require"},
    read_only={"server_settings": {"default_transaction_read_only": "on"}},
)
PSYCOPG = Client(
    "postgresql",
    "psycopg",
    is_async=False,
    timeouts={"connect_timeout": TIMEOUT_SECONDS},
    tls={"sslmode": "require"},
    read_only={"options": "-c default_transaction_read_only=on"},
)
PSYCOPG_ASYNC = Client(
    "postgresql",
    "psycopg",
    is_async=True,
    timeouts=PSYCOPG.timeouts,
    tls=PSYCOPG.tls,
    read_only=PSYCOPG.read_only,
)
PYMYSQL = Client(
    "mysql",
    "pymysql",
    is_async=False,
    timeouts={"connect_timeout": TIMEOUT_SECONDS, "read_timeout": TIMEOUT_SECONDS},
    tls={"ssl": {"check_hostname": False}},
)
POSTGRESQL_CLIENTS = [ASYNCPG, PSYCOPG, PSYCOPG_ASYNC]
CLIENTS = [*POSTGRESQL_CLIENTS, PYMYSQL]
