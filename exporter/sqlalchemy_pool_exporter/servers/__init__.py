"""What a database server tells about itself: version, writability, limits and load.

One file per dialect. It must not know about probes, pools or metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.servers.generic import read_status as read_generic
from sqlalchemy_pool_exporter.servers.mysql import read_status as read_mysql
from sqlalchemy_pool_exporter.servers.postgresql import read_status as read_postgresql
from sqlalchemy_pool_exporter.servers.sqlite import read_status as read_sqlite
from sqlalchemy_pool_exporter.servers.status import ServerStatus

__all__ = ["ServerStatus", "read_server"]

_READERS: Mapping[str, Callable[[Connection, bool], ServerStatus]] = {
    "mariadb": read_mysql,
    "mysql": read_mysql,
    "postgresql": read_postgresql,
    "sqlite": read_sqlite,
}


def read_server(connection: Connection, *, metrics: bool) -> ServerStatus:
    """Asks the server at the other end; without `metrics` only for version and writability.

    What the server does not tell, or not to this user, is None. Raises what the driver raises when
    the connection fails. May roll back the transaction the connection is in, and leaves one open.
    An async engine calls it through `run_sync`.
    """
    read_status = _READERS.get(connection.dialect.name, read_generic)
    return read_status(connection, metrics)
