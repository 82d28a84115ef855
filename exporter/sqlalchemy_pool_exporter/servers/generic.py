"""Any server SQLAlchemy has a dialect for and this package no file.

It must not ask the server anything: there is no statement that all understand.
"""

from __future__ import annotations

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.servers.status import ServerStatus


def read_status(connection: Connection, metrics: bool) -> ServerStatus:  # noqa: ARG001 - there are none
    """The version SQLAlchemy learned when it first connected; empty where it did not ask."""
    parts = getattr(connection.dialect, "server_version_info", None) or ()
    return ServerStatus(version=".".join(str(part) for part in parts))
