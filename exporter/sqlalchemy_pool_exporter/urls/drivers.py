"""Which driver a URL runs on: the one it names where that is installed, else one like it.

It must not know about users, hosts or parameters.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import sqlalchemy
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import NoSuchModuleError

from sqlalchemy_pool_exporter.urls.parts import URLError

ALIASES: Final = {"postgres": "postgresql"}
# Tried in this order when the URL names no driver, or one of `REPLACEABLE` that is not installed.
PREFERRED: Final[Mapping[str, tuple[str, ...]]] = {
    "postgresql": ("asyncpg",),
    "mysql": ("pymysql", "mysqldb", "aiomysql", "asyncmy"),
    "mariadb": ("pymysql", "mysqldb", "aiomysql", "asyncmy"),
    "sqlite": ("pysqlite",),
}
# They take the URLs of the preferred ones: an app's URL works here without the app's driver.
REPLACEABLE: Final[Mapping[str, frozenset[str]]] = {
    "postgresql": frozenset({"psycopg2", "psycopg2cffi", "psycopg", "psycopg_async"}),
    "mysql": frozenset({"mysqldb", "pymysql", "aiomysql", "asyncmy", "cymysql"}),
    "mariadb": frozenset({"mysqldb", "pymysql", "aiomysql", "asyncmy", "cymysql"}),
    "sqlite": frozenset({"aiosqlite"}),
}
PACKAGES: Final[Mapping[str, str]] = {
    "psycopg": "'sqlalchemy-pool-exporter[psycopg]'",
    "psycopg_async": "'sqlalchemy-pool-exporter[psycopg]'",
    "psycopg2": "psycopg2-binary",
    "pymysql": "'sqlalchemy-pool-exporter[mysql]'",
    "mysqldb": "mysqlclient",
    "mysqlconnector": "mysql-connector-python",
    "mariadbconnector": "mariadb",
}


def choose_dialect(backend: str, driver: str | None) -> type[Dialect]:
    """The dialect class (with `name`, `driver`, `is_async`) on which a URL of this scheme runs.

    Raises URLError for a database or driver SQLAlchemy does not know, and for one not installed.
    """
    backend = ALIASES.get(backend, backend)
    candidates = list(PREFERRED.get(backend, ()))
    if driver:
        named = _load_dialect(backend, driver)
        if _is_installed(named) or driver not in REPLACEABLE.get(backend, ()):
            candidates = [driver]
    elif not candidates:
        candidates = [_load_dialect(backend, None).driver]
    for candidate in candidates:
        dialect = _load_dialect(backend, candidate)
        if _is_installed(dialect):
            return dialect
    raise _describe_missing(backend, driver or candidates[0], candidates[0])


def _load_dialect(backend: str, driver: str | None) -> type[Dialect]:
    scheme = f"{backend}+{driver}" if driver else backend
    try:
        return sqlalchemy.URL.create(scheme).get_dialect()
    except NoSuchModuleError:
        known = ", ".join(_list_schemes(backend if backend in PREFERRED else None))
        raise URLError.of(
            f"{scheme}://", f"a database and driver SQLAlchemy knows: {known}"
        ) from None


def _is_installed(dialect: type[Dialect]) -> bool:
    try:
        dialect.import_dbapi()
    except ImportError:
        return False
    return True


def _list_schemes(backend: str | None) -> Iterable[str]:
    if backend is None:
        return [f"{name}://" for name in PREFERRED]
    drivers = [*PREFERRED[backend], *sorted(REPLACEABLE[backend] - set(PREFERRED[backend]))]
    return [f"{backend}+{driver}://" for driver in drivers]


def _describe_missing(backend: str, driver: str, wanted: str) -> URLError:
    package = PACKAGES.get(wanted, wanted)
    return URLError.of(
        f"{backend}+{driver}://", f"an installed driver, but {wanted} is not: pip install {package}"
    )
