"""An application's database URL, translated for the driver that it uses here."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy

from sqlalchemy_pool_exporter.dialects import registry
from sqlalchemy_pool_exporter.dialects.base import Dialect, Translation
from sqlalchemy_pool_exporter.dialects.registry import choose_driver, find_dialect, find_driver
from sqlalchemy_pool_exporter.redaction import MASK
from sqlalchemy_pool_exporter.urls import (
    Host,
    Parameters,
    URLError,
    URLParts,
    collect_secrets,
    malformed,
    split_url,
)

# Meant for the application's create_engine(): plugins that are not installed here, or whose work is
# done here anyway.
APP_PARAMETERS: Final = frozenset({"plugin", "pool_name"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which database a URL leads to; equal for two spellings of one place.

    Nothing is looked up: a name and its address are two endpoints, as are two names of one server.

    Attributes:
        addresses: The hosts and ports of the server, or of the servers that a URL lists.
        database: The name on the server, or the path of a database that is a file.
    """

    addresses: frozenset[tuple[str, int | None]]
    database: str


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class DatabaseURL:
    """The arguments of create_engine(), or of create_async_engine() if `is_async`.

    Attributes:
        url: Holds the password if the driver wants it there.
        connect_args: Further arguments of the driver's connect(), maybe with the password.
        is_async: Whether the driver is for asyncio.
        hosts: Where the URL leads.
        database: The name on the server, or the path of a file.
        secrets: The passwords in every form, raw and decoded, to be masked in messages.
    """

    url: sqlalchemy.URL
    connect_args: Mapping[str, Any]
    is_async: bool
    hosts: tuple[Host, ...]
    database: str | None
    secrets: tuple[str, ...]

    @property
    def safe(self) -> str:
        """The URL for logs and pages, without password and parameters."""
        login = self.url.username or ""
        if self.url.password is not None:
            login += f":{MASK}"
        address = (f"{login}@" if login else "") + ",".join(map(str, self.hosts))
        return f"{self.url.drivername}://{address}/{self.database or ''}"

    @property
    def endpoint(self) -> Endpoint | None:
        """Which database this is; None if the URL does not say."""
        name, hosts = self.url.get_backend_name(), self.hosts
        if socket := self.connect_args.get("unix_socket"):  # counts more than a host
            hosts = (Host(str(socket)),)
        folder = os.getcwd() if find_dialect(name).find_file else None  # noqa: PTH109 - a string
        return build_endpoint(name, hosts, self.database, folder)

    def __repr__(self) -> str:
        return f"<DatabaseURL {self.safe}>"


def parse_url(text: str, password: str | None = None, *, check_files: bool = True) -> DatabaseURL:
    """Read a URL, choose its driver and translate its parameters.

    Args:
        text: The URL.
        password: Replaces the URL's.
        check_files: Whether files that the URL names, such as certificates, must be readable.

    Raises:
        URLError: Lists every mistake found, unreadable certificates included. Neither it nor its
            context holds a secret.
    """
    parts = split_url(text, list_file_schemes(), list_host_schemes())
    dialect = choose_driver(parts.backend, parts.driver)
    query = [item for item in parts.query if item[0] not in APP_PARAMETERS]
    parameters = Parameters(query, check_files=check_files)
    translation = _translate(dialect, parts, parameters)
    if translation is None:
        raise malformed(parts.backend)
    if password is not None:
        translation = translation.with_password(password)
    return DatabaseURL(
        url=_build_url(dialect, translation),
        connect_args=translation.connect_args,
        is_async=dialect.is_async,
        hosts=translation.parts.hosts,
        database=translation.parts.database,
        secrets=collect_secrets(translation.parts.password, *parts.secrets),
    )


def _translate(
    dialect: type[sqlalchemy.Dialect], parts: URLParts, parameters: Parameters
) -> Translation | None:
    """Return the translation; None after an error that might show a piece of the password."""
    try:
        return find_driver(dialect.name, dialect.driver).translate_url(parts, parameters)
    except URLError:
        if not parts.is_ambiguous:
            raise
    return None


def list_file_schemes() -> frozenset[str]:
    """Return the schemes of URLs whose database is the path of a file."""
    return _list_schemes(lambda dialect: dialect.find_file is not None)


def list_host_schemes() -> frozenset[str]:
    """Return the schemes of URLs whose hosts are names and addresses."""
    return _list_schemes(lambda dialect: dialect.has_host_names)


def _list_schemes(belongs: Callable[[Dialect], bool]) -> frozenset[str]:
    dialects = filter(belongs, registry.DIALECTS)
    return frozenset(name for each in dialects for name in (*each.names, *each.aliases))


def _build_url(dialect: type[sqlalchemy.Dialect], translation: Translation) -> sqlalchemy.URL:
    parts, host = translation.parts, translation.host
    return sqlalchemy.URL.create(
        f"{dialect.name}+{dialect.driver}",
        username=parts.username,
        password=parts.password,
        host=host.name or None if host else None,
        port=host.port if host else None,
        database=translation.file or parts.database,
        query=translation.query,
    )


def build_endpoint(
    name: str, hosts: Iterable[Host], database: str | None, folder: str | None = None
) -> Endpoint | None:
    """Return which database this is; None if that is unknown.

    It is unknown without a name, because the server then uses the user's name, and for a database
    in memory. Without a host, it is on the driver's default host, this machine.

    Args:
        name: SQLAlchemy's name of the dialect.
        hosts: Those of the URL.
        database: The name on the server, or the path of a file.
        folder: Where a relative path starts, if that is known.
    """
    dialect, hosts = find_dialect(name), tuple(hosts)
    if dialect.find_file and not any(host.name for host in hosts):
        file = dialect.find_file(database or "", folder)
        return Endpoint(frozenset(), file) if file else None
    if not database:
        return None
    addresses = (_read_address(dialect, host) for host in hosts or (Host(""),))
    return Endpoint(frozenset(addresses), database)


def _read_address(dialect: Dialect, host: Host) -> tuple[str, int | None]:
    """Return a host in its normal form, and its port or the dialect's."""
    port = host.port or dialect.default_port
    if host.name.startswith("/"):
        return os.path.normpath(host.name), port if dialect.sockets_have_ports else None
    return _normalize_name(host.name), port


def _normalize_name(name: str) -> str:
    """Return an address in its shortest form, and a name in lower case."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return name.lower()
