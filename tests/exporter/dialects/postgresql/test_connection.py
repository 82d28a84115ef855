from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sqlalchemy_pool_exporter.dialects import find_driver
from sqlalchemy_pool_exporter.dialects.postgresql.connection import (
    LOGIN_SECONDS,
    build_asyncpg_arguments,
    escape_error,
    limit_transaction,
)
from sqlalchemy_pool_exporter.failures import Reason
from sqlalchemy_pool_exporter.probes import Probe
from tests.exporter.open_databases import open_database


def test_asyncpg_waits_longer_for_a_login_than_a_probe_takes() -> None:
    """The probe's deadline ends it sooner, unless the server has begun to answer."""
    assert build_asyncpg_arguments(4.5, None)["timeout"] == LOGIN_SECONDS
    assert build_asyncpg_arguments(2 * LOGIN_SECONDS, None)["timeout"] == 2 * LOGIN_SECONDS


TEXT = "Zu viele Verbindungen für »app«"
STARTUP_BYTES = 8
TLS_REQUEST = 80877103


def build_error(sqlstate: bytes, text: bytes, severity: bytes = b"FATAL") -> bytes:
    fields = b"".join((b"S", severity, b"\0VFATAL\0C", sqlstate, b"\0M", text, b"\0\0"))
    return b"E" + (4 + len(fields)).to_bytes(4, "big") + fields


@asynccontextmanager
async def refuse_logins(error: bytes) -> AsyncIterator[int]:
    """A server that answers each login with an error, as PostgreSQL does; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            length, code = struct.unpack("!ii", await reader.readexactly(STARTUP_BYTES))
            await reader.readexactly(length - STARTUP_BYTES)
            if code != TLS_REQUEST:
                break
            writer.write(b"N")
        writer.write(error)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [(b"28P01", Reason.AUTH), (b"3D000", Reason.NO_DATABASE), (b"53300", "too_many_connections")],
)
async def test_a_refused_login_has_its_reason_in_any_encoding(
    encoding: str, sqlstate: bytes, reason: str
) -> None:
    text = TEXT.encode(encoding).replace(b"\0", b"")
    severity = "ВАЖНО".encode("cp1251")
    async with (
        refuse_logins(build_error(sqlstate, text, severity)) as port,
        open_database(f"postgresql+asyncpg://app:x@127.0.0.1:{port}/shop") as database,
    ):
        check = await Probe(database).check()
    assert check.failure is not None
    assert check.failure.reason == reason
    assert "viele Verbindungen" in check.failure.message


def test_only_a_whole_error_with_other_bytes_is_changed() -> None:
    german, plain = build_error(b"53300", b"f\xfcr"), build_error(b"53300", TEXT.encode())
    assert escape_error(german + b"Z") == build_error(b"53300", rb"f\xfcr") + b"Z"
    for data in (b"", b"E", german[:9], plain, b"R" + german, b"\x16\x03\x01"):
        assert escape_error(data) == data


def test_libpq_gets_whole_seconds() -> None:
    for driver, seconds, expected in (("psycopg", 0.3, 2), ("psycopg2", 2.1, 3)):
        arguments = find_driver("postgresql", driver).connect_arguments(seconds, None)
        assert arguments["connect_timeout"] == expected


def test_a_limit_is_never_rounded_to_none() -> None:
    assert limit_transaction(-0.001) == "SET LOCAL statement_timeout = 1"
