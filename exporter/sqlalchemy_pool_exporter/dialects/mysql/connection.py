"""How connections to MySQL and MariaDB are opened, limited and aborted."""

from __future__ import annotations

import math
import socket
from typing import Any

from sqlalchemy_pool_exporter.dialects.base import APPLICATION_NAME, Arguments, to_milliseconds


def build_pymysql_arguments(timeout: float, _statement_timeout: float | None) -> Arguments:
    """Return arguments for pymysql."""
    return {
        "connect_timeout": timeout,
        "read_timeout": timeout,
        "write_timeout": timeout,
        "program_name": APPLICATION_NAME,
    }


def build_mysqldb_arguments(timeout: float, _statement_timeout: float | None) -> Arguments:
    """Return arguments for mysqlclient and mariadbconnector, which take whole seconds."""
    seconds = math.ceil(timeout)
    return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}


def build_connect_timeout(timeout: float, _statement_timeout: float | None) -> Arguments:
    """Return the one timeout of aiomysql and asyncmy."""
    return {"connect_timeout": timeout}


def build_mysqlconnector_arguments(timeout: float, _statement_timeout: float | None) -> Arguments:
    """Return arguments for MySQL Connector/Python, which takes whole seconds."""
    return {"connection_timeout": math.ceil(timeout)}


def encode_password(password: str) -> str:
    """Return the text whose Latin-1 bytes are the password's UTF-8 bytes.

    Servers know a password by its UTF-8 bytes. pymysql, aiomysql and asyncmy encode a text as
    Latin-1, and aiomysql (0.3) takes no bytes.
    """
    return password.encode().decode("latin-1")


def limit_session(seconds: float) -> str:
    """Return the statement that limits the later ones of a session.

    Each server runs only the comment that is meant for it, and a server with neither variable runs
    none: MariaDB skips `/*!50708 */`, like all from 50700 to 99999, and MySQL every `/*M! */`.
    """
    return (
        f"SET @statement_timeout = {seconds:g}"
        f" /*!50708 , SESSION max_execution_time = {to_milliseconds(seconds)} */"
        f" /*M!100101 , SESSION max_statement_time = {seconds:g} */"
    )


def shut_down_socket(connection: Any) -> None:
    """Abort a connection of pymysql."""
    # Not SSLSocket.shutdown(): that takes the TLS state away from the thread that reads.
    socket.socket.shutdown(connection._sock, socket.SHUT_RDWR)
