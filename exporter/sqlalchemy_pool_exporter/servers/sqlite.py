"""SQLite: a file, so there are no limits, no load and nobody else to ask.

It must not lock the file, and therefore cannot try whether it may write.
"""

from __future__ import annotations

import os

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.servers.status import ServerStatus

_READ_ONLY_OPTIONS = (("mode", "ro"), ("immutable", "1"))


def read_status(connection: Connection, metrics: bool) -> ServerStatus:  # noqa: ARG001 - there are none
    version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
    return ServerStatus(version=version, writable=_is_writable(connection))


def _is_writable(connection: Connection) -> bool:
    """By the pragma, the options of the URL and the permissions of the file."""
    query_only = connection.exec_driver_sql("PRAGMA query_only").scalar_one()
    options = connection.engine.url.query
    if query_only or any(options.get(key) == value for key, value in _READ_ONLY_OPTIONS):
        return False
    files = connection.exec_driver_sql("PRAGMA database_list").all()
    # A database in memory has no file.
    return all(os.access(path, os.W_OK) for _, name, path in files if name == "main" and path)
