"""How connections to PostgreSQL are opened, limited and aborted."""

from __future__ import annotations

import asyncio
import math
from functools import cache
from typing import Any, Final

from sqlalchemy_pool_exporter.dialects.base import APPLICATION_NAME, Arguments, to_milliseconds

# How long a login may take once the server has begun to answer. A second login would only wait for
# the same thing, such as a lock, and PostgreSQL does not notice that the first client has gone.
LOGIN_SECONDS: Final = 300.0


# How long asyncpg may take from connecting its socket to waiting for the server's answer: seconds,
# and iterations of the event loop.
CONNECTING_SECONDS: Final = 0.01
CONNECTING_TURNS: Final = 6


@cache
def let_asyncpg_read_any_encoding() -> None:
    """Let asyncpg read the errors of refused logins that are not in UTF-8.

    Until the database is known, a server writes them in its own encoding. asyncpg (up to 0.32)
    stumbles over that, and its error says only that the connection was closed. It has no other
    place for a protocol of ours. This can go when `_parse_msg_error_response` decodes leniently.
    """
    from asyncpg import protocol  # not always installed

    class LenientProtocol(protocol.Protocol):  # type: ignore[misc, unused-ignore]
        def data_received(self, data: bytes) -> None:
            super().data_received(data if self.is_connected() else escape_error(data))

    protocol.Protocol = LenientProtocol  # type: ignore[misc, assignment, unused-ignore]


def escape_error(data: bytes) -> bytes:
    """Return what a server sent; if it is an error that is not in UTF-8, with escaped bytes.

    An error is the letter E, the length of what follows as 4 bytes (big endian, itself included),
    and fields, each with a letter and a zero byte at the end.
    """
    end = 1 + int.from_bytes(data[1:5], "big")
    if data[:1] != b"E" or len(data) < max(end, 5):  # in the latter case the rest comes later
        return data
    fields = data[5:end].decode("utf-8", "backslashreplace").encode()
    return b"E" + (4 + len(fields)).to_bytes(4, "big") + fields + data[end:]


def build_asyncpg_arguments(timeout: float, statement_timeout: float | None) -> Arguments:
    """Return arguments that suit PgBouncer, too."""
    let_asyncpg_read_any_encoding()
    server_settings = {"application_name": APPLICATION_NAME}
    if statement_timeout is not None:
        server_settings["statement_timeout"] = str(to_milliseconds(statement_timeout))
    return {
        # The probe's deadline ends a login that the server does not answer, sooner than this.
        "timeout": max(timeout, LOGIN_SECONDS),
        "server_settings": server_settings,
        # PgBouncer in transaction mode gives each transaction another server connection, which has
        # none of our prepared statements, or another client's of the same name. Only the unnamed
        # statement is safe: https://github.com/sqlalchemy/sqlalchemy/issues/6467. These can go when
        # PgBouncer before 1.21 is out of use; newer ones need max_prepared_statements above 0.
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,  # str() is "", the name of the unnamed statement
    }


def build_libpq_arguments(timeout: float, statement_timeout: float | None) -> Arguments:
    """Return arguments for psycopg and psycopg2."""
    arguments: Arguments = {
        "connect_timeout": max(2, math.ceil(timeout)),  # libpq takes whole seconds, at least 2
        "application_name": APPLICATION_NAME,
    }
    if statement_timeout is not None:
        arguments["options"] = f"-c statement_timeout={to_milliseconds(statement_timeout)}"
    return arguments


def build_pg8000_arguments(timeout: float, _statement_timeout: float | None) -> Arguments:
    """Return arguments for pg8000, whose timeout is that of each read and write, too."""
    return {"timeout": timeout, "application_name": APPLICATION_NAME}


def limit_transaction(seconds: float) -> str:
    """Return the statement that limits the later ones of a transaction.

    A startup parameter would last longer and cost no round trip, but PgBouncer refuses it by
    default; and behind PgBouncer a plain SET would outlive the transaction and hit other clients.
    """
    return f"SET LOCAL statement_timeout = {to_milliseconds(seconds)}"


def terminate(connection: Any) -> None:
    """Abort a connection of asyncpg."""
    connection.terminate()


async def let_asyncpg_connect(task: asyncio.Future[Any]) -> None:
    """Wait until asyncpg can be cancelled safely.

    If it is cancelled just after its socket has connected, it never awaits its protocol's future,
    and asyncio logs "Future exception was never retrieved". asyncpg 0.32 has fixed that for plain
    connections. This can go when the TLS upgrade (TLSUpgradeProto.on_data) is fixed, too.
    """
    await asyncio.wait({task}, timeout=CONNECTING_SECONDS)
    # A late event loop begins to connect only after that wait, so let it run a few iterations.
    for _ in range(CONNECTING_TURNS):
        await asyncio.sleep(0)
