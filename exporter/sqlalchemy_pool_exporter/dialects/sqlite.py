"""SQLite: a file, so there is no server with limits, load or other clients."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.dialects.arguments import (
    ArgumentType,
    integer,
    number,
    one_of,
    python_object,
    switch,
)
from sqlalchemy_pool_exporter.dialects.base import (
    Arguments,
    Dialect,
    Driver,
    ServerStatus,
    Translation,
)
from sqlalchemy_pool_exporter.redaction import MASK
from sqlalchemy_pool_exporter.urls import Parameters, URLError, URLParts
from sqlalchemy_pool_metrics.failures.sqlite import DRIVER_MODULES, classify_exact

MEMORY: Final = ":memory:"
DRIVER_PARAMETERS: Final = (
    *("timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"),
)
LEVELS: Final = ("", "DEFERRED", "IMMEDIATE", "EXCLUSIVE")
ARGUMENT_TYPES: Final[Mapping[str, ArgumentType]] = {
    "timeout": number,
    **dict.fromkeys(("detect_types", "cached_statements"), integer),
    "isolation_level": one_of(*LEVELS, *map(str.lower, LEVELS)),
    **dict.fromkeys(("check_same_thread", "uri"), switch),
    **dict.fromkeys(("factory", "async_creator_fn"), python_object),
    **({"autocommit": switch} if sys.version_info >= (3, 12) else {}),
}
# https://www.sqlite.org/uri.html
URI_PARAMETERS: Final = ("mode", "cache", "immutable", "nolock", "psow", "vfs", "modeof")
READ_ONLY_OPTIONS: Final = (("mode", "ro"), ("immutable", "1"))


def translate_url(parts: URLParts, parameters: Parameters) -> Translation:
    """Open files with mode=rw, so that a missing one is an error instead of a new database.

    URLs with `uri=true` and databases in memory stay unchanged.
    """
    if parts.hosts or parts.username:
        raise URLError.of(
            f"sqlite://{MASK}", "sqlite:///relative.db, sqlite:////absolute.db or sqlite://"
        )
    is_uri = parameters.get_bool("uri")
    known = {"uri", *DRIVER_PARAMETERS, *(URI_PARAMETERS if is_uri else ())}
    parameters.get_seconds("timeout")
    parameters.get_bool("check_same_thread")
    parameters.finish("SQLite", known)
    query = dict(parameters.list_items())
    if is_uri or parts.database in (None, MEMORY):
        return Translation(parts, query)
    file = f"file:{quote(parts.database or '')}"
    return Translation(parts, {**query, "uri": "true", "mode": "rw"}, file=file)


def find_file(database: str, folder: str | None) -> str | None:
    """Return the absolute path of the database's file; see Dialect.find_file."""
    path = database
    if path.startswith("file:"):
        path = unquote(path.removeprefix("file:").partition("?")[0])
        if path.startswith("//"):  # an authority, which is empty or localhost
            path = path[2:].removeprefix("localhost")
    elif folder is not None and path not in ("", MEMORY):
        path = os.path.join(folder, path)  # noqa: PTH118 - as normpath, without following links
    return os.path.normpath(path) if path.startswith("/") else None


def build_arguments(timeout: float, _statement_timeout: float | None) -> Arguments:
    """Return how long to wait for a lock that another process holds."""
    return {"timeout": timeout}


def is_of_aiosqlite(name: str) -> bool:
    """Return whether aiosqlite does not pass this argument to sqlite3."""
    return name == "iter_chunk_size"


def interrupt(connection: Any) -> None:
    """Abort the statement of a sqlite3 connection."""
    connection.interrupt()


def interrupt_wrapped(connection: Any) -> None:
    """Abort the statement of an aiosqlite connection."""
    connection._conn.interrupt()  # its own interrupt() queues behind the statement that hangs


def read_status(connection: Connection, metrics: bool) -> ServerStatus:  # noqa: ARG001 - there are none
    """Return version and writability, without writing, which would lock the file."""
    version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
    return ServerStatus(version=version, writable=is_writable(connection))


def is_writable(connection: Connection) -> bool:
    """Return what the pragma, the URL's options and the file's permissions allow."""
    query_only = connection.exec_driver_sql("PRAGMA query_only").scalar_one()
    options = connection.engine.url.query
    if query_only or any(options.get(key) == value for key, value in READ_ONLY_OPTIONS):
        return False
    files = connection.exec_driver_sql("PRAGMA database_list").all()
    # A database in memory has no file.
    return all(os.access(path, os.W_OK) for _, name, path in files if name == "main" and path)


SQLITE = Dialect(
    names=("sqlite",),
    drivers=(
        Driver(
            "pysqlite",
            translate_url=translate_url,
            connect_arguments=build_arguments,
            argument_types=ARGUMENT_TYPES,
            has_argument=lambda _name: False,
            abort=interrupt,
        ),
        Driver(
            "aiosqlite",
            translate_url=translate_url,
            connect_arguments=build_arguments,
            argument_types=ARGUMENT_TYPES,
            has_argument=is_of_aiosqlite,
            abort=interrupt_wrapped,
        ),
    ),
    driver_modules=DRIVER_MODULES,
    find_file=find_file,
    read_status=read_status,
    classify_exact=classify_exact,
)
