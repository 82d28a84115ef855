"""The record of what the exporter knows about one SQL dialect, and the values in it.

Every field has a default, with which any dialect and driver of SQLAlchemy works.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.dialects.arguments import (
    ArgumentProblem,
    ArgumentType,
    accept_any_name,
    convert_arguments,
)
from sqlalchemy_pool_exporter.urls import Host, Parameters, URLParts
from sqlalchemy_pool_metrics.failures.classify import Classifier, find_no_reason

APPLICATION_NAME: Final = "sqlalchemy-pool-exporter"
# The states of client connections; `other` is every state that the rest does not cover.
STATES: Final = ("active", "idle", "idle_in_transaction", "other")


Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Translation:
    """A URL translated for a driver.

    Attributes:
        parts: The URL's parts, with what its parameters override.
        query: Parameters that stay in the SQLAlchemy URL.
        connect_args: Arguments of the driver's connect().
        host: The SQLAlchemy URL's host; None where `query` or `connect_args` hold the hosts.
        file: Replaces the database in the SQLAlchemy URL.
    """

    parts: URLParts
    query: Mapping[str, str] = field(default_factory=dict)
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    host: Host | None = None
    file: str | None = None

    def with_password(self, password: str) -> Translation:
        """Return the translation with this password instead of the URL's."""
        return replace(self, parts=replace(self.parts, password=password))


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server says about itself; a value that it does not give exactly is None.

    Attributes:
        version: Empty if unknown.
        writable: Whether this connection could write, by the server's and the session's settings.
        replication_lag_seconds: Only on a replica.
        max_connections: The server's limit.
        reserved_connections: Connections kept for administrators: part of `max_connections` on
            PostgreSQL, on top of it on MySQL.
        connections: The number of client connections, this one included, by each of `STATES`.
    """

    version: str
    writable: bool | None = None
    replication_lag_seconds: float | None = None
    max_connections: int | None = None
    reserved_connections: int | None = None
    connections: Mapping[str, int] | None = None


def pass_parameters(parts: URLParts, parameters: Parameters) -> Translation:
    """Leave a URL's parameters to SQLAlchemy, which passes them to the driver."""
    if len(parts.hosts) > 1:
        parameters.reject("host", ",".join(map(str, parts.hosts)), "one host")
    query = dict(parameters.list_items())
    parameters.finish(parts.backend, query)
    return Translation(parts, query, host=parts.hosts[0] if parts.hosts else None)


def build_no_arguments(_timeout: float, _statement_timeout: float | None) -> Arguments:
    """Return no arguments, since each driver names its own."""
    return {}


def pass_password(password: str) -> str:
    """Return the password unchanged."""
    return password


def shut_down_descriptor(connection: Any) -> None:
    """Shut down a connection's socket, so that a thread that waits for the server gets an error."""
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


async def wait_for_nothing(_task: asyncio.Future[Any]) -> None:
    """Return at once: most drivers can be cancelled at any time."""


def read_version(connection: Connection, metrics: bool) -> ServerStatus:  # noqa: ARG001 - no statement works everywhere
    """Return the version that SQLAlchemy found when it first connected, and nothing else."""
    parts = getattr(connection.dialect, "server_version_info", None) or ()
    return ServerStatus(version=".".join(str(part) for part in parts))


def find_no_text(_error: BaseException) -> str | None:
    """Return None: no error belongs to an unknown dialect."""
    return None


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver under its SQLAlchemy name, the part of the URL's scheme after the plus sign.

    Attributes:
        name: SQLAlchemy's name.
        extra: The extra of this distribution that installs it; empty if pip installs `name`.
        translate_url: Translates a URL's parameters; raises URLError.
        connect_arguments: Builds arguments of connect() from the seconds that opening a connection
            may take, and those that a statement may take on the server (None: no limit here). The
            URL's and the configuration's arguments override them.
        argument_types: The types of arguments of connect(), as far as a configuration gives them.
        has_argument: Whether connect() has an argument that is not in `argument_types`.
        encode_password: Returns the password that connect() gets.
        abort: Ends a connection at once, without waiting for the server, while another thread or a
            suspended greenlet uses it. May raise.
        before_cancel: Waits until this task, which uses the driver, can be cancelled safely; for
            asyncio drivers. Must end soon.
    """

    name: str = ""
    extra: str = ""
    translate_url: Callable[[URLParts, Parameters], Translation] = pass_parameters
    connect_arguments: Callable[[float, float | None], Arguments] = build_no_arguments
    argument_types: Mapping[str, ArgumentType] = field(default_factory=dict)
    has_argument: Callable[[str], bool] = accept_any_name
    encode_password: Callable[[str], str] = pass_password
    abort: Callable[[Any], None] = shut_down_descriptor
    before_cancel: Callable[[asyncio.Future[Any]], Awaitable[None]] = wait_for_nothing

    def convert(
        self, arguments: Mapping[str, Any]
    ) -> tuple[Arguments, tuple[ArgumentProblem, ...]]:
        """Return a configuration's arguments as connect() takes them, and what it would refuse."""
        return convert_arguments(self.argument_types, self.has_argument, arguments)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the exporter knows about a dialect; DIALECTS in registry.py lists them.

    Attributes:
        names: SQLAlchemy's names for the dialect.
        aliases: Other URL schemes for the first of `names`.
        default_port: The port of a URL without one.
        has_host_names: Whether the host of a URL is always a name or an address, and there may be
            several. They are looked up before the driver connects. Elsewhere it may be whatever
            the driver understands: a named instance, an alias, a connect descriptor.
        sockets_have_ports: Whether a port is part of the name of a unix socket.
        drivers: The best first. If a URL names one that is not installed, it runs on the first one
            that is, so each must accept the URLs of the others.
        driver_modules: The top-level modules that define or raise the drivers' errors.
        find_file: Only for databases that are files, unless the URL has a host: returns the
            absolute path, given the URL's database and the folder where relative paths start (None:
            unknown). Returns None for a database in memory, and for a relative path if the folder
            is unknown.
        session_limit: Builds a statement that limits each later statement of the session to a
            number of seconds; for drivers without an argument for that.
        transaction_limit: Builds a statement that limits the later statements of the transaction.
        read_status: Asks the server about itself; without `metrics` for version and writability
            only. May roll back the connection's transaction. Raises what the driver raises.
        classify_exact: Returns the reason of an error that says exactly what happened.
        classify_heuristic: Returns the likely reason of one that does not. Asked only if no error
            of the chain has an exact reason.
        describe_error: Returns an error's text with its code, None for other dialects' errors.
    """

    names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    default_port: int | None = None
    has_host_names: bool = False
    sockets_have_ports: bool = True
    drivers: tuple[Driver, ...] = ()
    driver_modules: frozenset[str] = frozenset()
    find_file: Callable[[str, str | None], str | None] | None = None
    session_limit: Callable[[float], str] | None = None
    transaction_limit: Callable[[float], str] | None = None
    read_status: Callable[[Connection, bool], ServerStatus] = read_version
    classify_exact: Classifier = find_no_reason
    classify_heuristic: Classifier = find_no_reason
    describe_error: Callable[[BaseException], str | None] = find_no_text


def to_milliseconds(seconds: float) -> int:
    """Return whole milliseconds, at least 1, because servers take 0 for no limit."""
    return max(1, round(seconds * 1000))
