"""The dialects that the exporter knows, and the choice of an installed driver for a URL."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy.exc import NoSuchModuleError

from sqlalchemy_pool_exporter import describe_install
from sqlalchemy_pool_exporter.dialects.base import Dialect, Driver
from sqlalchemy_pool_exporter.dialects.mysql import MYSQL
from sqlalchemy_pool_exporter.dialects.postgresql import POSTGRESQL
from sqlalchemy_pool_exporter.dialects.sqlite import SQLITE
from sqlalchemy_pool_exporter.redaction import escape_unprintable
from sqlalchemy_pool_exporter.urls import URLError
from sqlalchemy_pool_metrics.failures.exceptions import raising_module, read_text

# In the order in which they classify errors, see the agent's list.
DIALECTS: tuple[Dialect, ...] = (
    MYSQL,
    POSTGRESQL,
    SQLITE,
    Dialect(names=("cockroachdb",), default_port=26257, has_host_names=True),
    Dialect(names=("redshift",), default_port=5439, has_host_names=True),
    Dialect(names=("mssql",), default_port=1433),
    Dialect(names=("oracle",), default_port=1521),
)


def find_dialect(name: str) -> Dialect:
    """Return the dialect of a URL's scheme or of an engine; an empty one if it is unknown."""
    for each in DIALECTS:
        if name in each.names or name in each.aliases:
            return each
    return Dialect(names=(name,))


def find_driver(dialect: str, name: str) -> Driver:
    """Return a dialect's driver; an empty one if it is unknown.

    A dialect that does not list the driver shares it with one that does: cockroachdb+asyncpg.
    """
    for each in (find_dialect(dialect), *DIALECTS):
        for driver in each.drivers:
            if driver.name == name:
                return driver
    return Driver(name)


def choose_driver(scheme: str, driver: str | None) -> type[sqlalchemy.Dialect]:
    """Return SQLAlchemy's class (with `name`, `driver`, `is_async`) for a URL.

    Raises:
        URLError: SQLAlchemy does not know the database or driver, or none is installed.
    """
    dialect = find_dialect(scheme)
    name = dialect.names[0] if scheme in dialect.aliases else scheme
    candidates = [each.name for each in dialect.drivers]
    if driver:
        named = _load(name, driver)
        if _is_installed(named):
            return named
        if driver not in candidates:
            candidates = [driver]
    elif not candidates:
        candidates = [_load(name, None).driver]
    for candidate in candidates:
        loaded = _load(name, candidate)
        if _is_installed(loaded):
            return loaded
    wanted = driver or candidates[0]
    if failure := _find_import_failure(_load(name, wanted)):
        raise URLError.of(f"{name}+{wanted}://", f"a driver that can be imported: {failure}")
    raise _describe_missing(name, wanted, candidates[0])


def _load(name: str, driver: str | None) -> type[sqlalchemy.Dialect]:
    scheme = f"{name}+{driver}" if driver else name
    try:
        return sqlalchemy.URL.create(scheme).get_dialect()
    except NoSuchModuleError:
        schemes = ", ".join(_list_schemes(name))
        raise URLError.of(
            f"{scheme}://", f"a database and driver SQLAlchemy knows: {schemes}"
        ) from None
    except Exception as error:  # any failure inside a third party's package
        failure = _read_failure(error)
    raise URLError.of(f"{scheme}://", f"a dialect that can be imported: {failure}")


def _is_installed(dialect: type[sqlalchemy.Dialect]) -> bool:
    """Return whether the driver can be imported."""
    try:
        dialect.import_dbapi()
    except Exception:  # a driver may raise anything, say for a library of another version
        return False
    return True


def _find_import_failure(dialect: type[sqlalchemy.Dialect]) -> str | None:
    """Return why a driver that is installed cannot be imported; None if it is missing."""
    try:
        dialect.import_dbapi()
    except Exception as error:
        # A missing driver fails in the dialect's own import statement, a broken one further inside.
        dialect_module = dialect.__module__.partition(".")[0]
        is_outside = raising_module(error) in {"sqlalchemy", dialect_module}
        return None if isinstance(error, ImportError) and is_outside else _read_failure(error)
    return None


def _read_failure(error: Exception) -> str:
    """Return why an import failed, on one line."""
    return escape_unprintable(" ".join(read_text(error).split())) or type(error).__name__


def _list_schemes(name: str) -> list[str]:
    """Return the schemes of a dialect with each of its drivers, or those of all dialects."""
    if drivers := find_dialect(name).drivers:
        return [f"{name}+{driver.name}://" for driver in drivers]
    return [f"{each}://" for dialect in DIALECTS if dialect.drivers for each in dialect.names]


def _describe_missing(name: str, driver: str, wanted: str) -> URLError:
    extra = find_driver(name, wanted).extra
    install = describe_install(extra) if extra else f"pip install {wanted}"
    return URLError.of(
        f"{name}+{driver}://", f"an installed driver, but {wanted} is not: {install}"
    )
