"""A database URL as a team has it, made ready for the driver it runs on.

It must not know how engines or pools are made, and never gives away a password but to the driver.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Dialect

from sqlalchemy_pool_exporter.redaction import MASK
from sqlalchemy_pool_exporter.urls.drivers import choose_dialect
from sqlalchemy_pool_exporter.urls.endpoint import Endpoint, build_endpoint
from sqlalchemy_pool_exporter.urls.mysql import MYSQL_DRIVERS, translate_for_mysql
from sqlalchemy_pool_exporter.urls.parameters import Parameters
from sqlalchemy_pool_exporter.urls.parts import Host, URLParts, collect_secrets, split_url
from sqlalchemy_pool_exporter.urls.postgresql import translate_for_asyncpg, translate_for_libpq
from sqlalchemy_pool_exporter.urls.sqlite import MEMORY, translate_for_sqlite
from sqlalchemy_pool_exporter.urls.translation import Translation, translate_as_is

LIBPQ_DRIVERS = frozenset({"psycopg", "psycopg_async", "psycopg2", "psycopg2cffi"})
# Meant for the app's create_engine(): its plugins are not installed here, or already do their work.
APP_PARAMETERS = frozenset({"plugin", "pool_name"})


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class DatabaseURL:
    """What create_engine() or create_async_engine() (`is_async`) is called with.

    `url` and `connect_args` hold the password where the driver wants it; `secrets` are all its
    forms, raw and decoded, for scrubbing messages; `safe` is for logs and pages. `hosts` and
    `database` say where it leads. Whoever adds to `connect_args` keeps its `server_settings`.
    """

    url: sqlalchemy.URL
    connect_args: Mapping[str, Any]
    is_async: bool
    hosts: tuple[Host, ...]
    database: str | None
    secrets: tuple[str, ...]

    @property
    def safe(self) -> str:
        """The URL without password and parameters."""
        login = self.url.username or ""
        if self.url.password is not None:
            login += f":{MASK}"
        address = (f"{login}@" if login else "") + ",".join(map(str, self.hosts))
        return f"{self.url.drivername}://{address}/{self.database or ''}"

    @property
    def endpoint(self) -> Endpoint | None:
        """Which database this is; None when the URL does not tell."""
        dialect, hosts = self.url.get_backend_name(), self.hosts
        if socket := self.connect_args.get("unix_socket"):
            hosts = (Host(str(socket)),)
        database = self.database
        if dialect == "sqlite" and database and not database.startswith(("file:", MEMORY)):
            database = os.path.abspath(database)  # noqa: PTH100 - without links followed
        return build_endpoint(dialect, hosts, database)

    def __repr__(self) -> str:
        return f"<DatabaseURL {self.safe}>"


def parse_url(text: str, password: str | None = None) -> DatabaseURL:
    """Reads a URL, chooses its driver and translates its parameters.

    `password` replaces the URL's. Certificates the URL names must be readable now. Raises URLError
    with every mistake found; neither it nor its context holds a secret.
    """
    parts = split_url(text)
    dialect = choose_dialect(parts.backend, parts.driver)
    parameters = Parameters(item for item in parts.query if item[0] not in APP_PARAMETERS)
    translation = _translate(dialect, parts, parameters)
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


def _translate(dialect: type[Dialect], parts: URLParts, parameters: Parameters) -> Translation:
    if dialect.driver == "asyncpg":
        return translate_for_asyncpg(parts, parameters)
    if dialect.driver in LIBPQ_DRIVERS:
        return translate_for_libpq(parts, parameters)
    if dialect.driver in MYSQL_DRIVERS:
        return translate_for_mysql(parts, parameters, dialect.driver)
    if dialect.name == "sqlite":
        return translate_for_sqlite(parts, parameters)
    return translate_as_is(parts, parameters)


def _build_url(dialect: type[Dialect], translation: Translation) -> sqlalchemy.URL:
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
