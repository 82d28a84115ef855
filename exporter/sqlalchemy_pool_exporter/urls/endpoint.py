"""Which database a URL leads to, so that two spellings of the same place are equal.

It looks nothing up: a name and its address are two places, and so are two names of one server.
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from sqlalchemy_pool_exporter.urls.parts import Host

DEFAULT_PORTS: Final = {
    "postgresql": 5432,
    "cockroachdb": 26257,
    "redshift": 5439,
    "mysql": 3306,
    "mariadb": 3306,
    "mssql": 1433,
    "oracle": 1521,
}
# The others have a port in the name of their socket.
PORTLESS_SOCKETS: Final = frozenset({"mysql", "mariadb"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A database on a server, or on one of several that are given; of SQLite a file."""

    addresses: frozenset[tuple[str, int | None]]
    database: str


def build_endpoint(dialect: str, hosts: Iterable[Host], database: str | None) -> Endpoint | None:
    """Returns where a database is; None when that is not told.

    It is not without a name (the server takes the user's), in memory, or in a file under a relative
    path. No host is a place too: the driver's default, on this machine.
    """
    if dialect == "sqlite":
        file = find_file(database or "")
        return Endpoint(frozenset(), file) if file else None
    if not database:
        return None
    addresses = (read_address(dialect, host) for host in tuple(hosts) or (Host(""),))
    return Endpoint(frozenset(addresses), database)


def read_address(dialect: str, host: Host) -> tuple[str, int | None]:
    """Returns a host as it compares, and its port or the dialect's."""
    if host.name.startswith("/"):
        folder = os.path.normpath(host.name)
        return folder, None if dialect in PORTLESS_SOCKETS else read_port(dialect, host)
    return normalize_name(host.name), read_port(dialect, host)


def read_port(dialect: str, host: Host) -> int | None:
    """Returns the port of a host, the dialect's by default."""
    return host.port or DEFAULT_PORTS.get(dialect)


def normalize_name(name: str) -> str:
    """Returns an address in its shortest form, and a name in lower case."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return name.lower()


def find_file(database: str) -> str | None:
    """Returns the absolute path of SQLite's file; None where there is none or it is relative."""
    path = database
    if path.startswith("file:"):
        path = unquote(path.removeprefix("file:").partition("?")[0])
        if path.startswith("//"):  # of a URI with an authority, which is empty or localhost
            path = path[2:].removeprefix("localhost")
    return os.path.normpath(path) if path.startswith("/") else None
