"""Describe a pool and the database that it connects to, without its user and password."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy
from sqlalchemy.pool import AssertionPool, QueuePool, SingletonThreadPool, StaticPool

from . import __version__
from .program import find_program
from .snapshot import PoolDescription

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.pool import Pool

__all__ = ["application", "describe", "describe_url", "find_module", "name_apart"]

APPLICATION_VARIABLE = "SQLALCHEMY_POOL_METRICS_APP"


def application() -> str:
    """Return the application's name: the configured one, OpenTelemetry's or the program's."""
    return (
        os.environ.get(APPLICATION_VARIABLE)
        or os.environ.get("OTEL_SERVICE_NAME")
        or find_program()
    )


def describe(pool: Pool) -> PoolDescription:
    """Describe a pool from its attributes and the arguments that it connects with."""
    size, limit = _limits(pool)
    where = _endpoint(pool)
    return PoolDescription(
        name=pool._orig_logging_name or where.database or "default",
        application=application(),
        pool_class=_plain_class(pool).__name__,
        dialect=getattr(pool._dialect, "name", ""),
        driver=getattr(pool._dialect, "driver", ""),
        host=where.host,
        port=where.port,
        database=where.database,
        size=size,
        max_connections=limit,
        waits=isinstance(pool, QueuePool),
        **_read_settings(pool),
        sqlalchemy_version=sqlalchemy.__version__,
        agent_version=__version__,
    )


def describe_url(pool: Pool, url: URL, name: str | None) -> PoolDescription:
    """Describe an engine's pool; without `name` it gets its logging name or the database's."""
    database = url.database or ""
    described = describe(pool)
    return replace(
        described,
        name=name or pool._orig_logging_name or database or "default",
        # Prefer the driver's arguments: the URL's query can name hosts and sockets, too.
        host=described.host or url.host or "",
        port=described.port if described.host else url.port,
        database=database,
    )


def find_module() -> str:
    """Return the module that creates an engine: the first caller that is not SQLAlchemy or we."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("sqlalchemy", __name__.partition(".")[0]):
            return name if name != "__main__" else find_program().rpartition(" ")[2]
        frame = frame.f_back
    return ""


def name_apart(name: str, pools: Sequence[tuple[PoolDescription, str]]) -> list[str]:
    """Return a name for each pool of one database; pools of equal kind share one.

    The main kind keeps the name. The others add their driver, if that differs, else the module that
    created them, and a number if that is taken. The order in which the engines were created does
    not matter, so that all workers of an application agree.

    Args:
        name: The default name of all of them.
        pools: The descriptions, each with its module, the oldest first.
    """
    modules: dict[Kind, str] = {}
    for description, module in pools:
        modules.setdefault(read_kind(description), module)
    names: dict[Kind, str] = {}
    for kind in sorted(modules):
        main = min(modules)
        word = kind.driver if kind.driver != main.driver else modules[kind] or kind.pool_class
        chosen, number = name if kind == main else f"{name} {word}", 2
        while chosen in names.values():
            chosen, number = f"{name} {word} {number}", number + 1
        names[kind] = chosen
    return [names[read_kind(description)] for description, _ in pools]


class Kind(NamedTuple):
    """What tells engines of one database apart; the lowest one is the main one."""

    lacks_queue: bool
    is_async: bool
    is_limited: bool
    negative_limit: int
    driver: str
    pool_class: str
    size: int


def read_kind(pool: PoolDescription) -> Kind:
    """Return what tells a pool apart from others of its database."""
    return Kind(
        lacks_queue=not pool.waits,
        is_async=pool.pool_class.startswith("Async"),
        is_limited=pool.max_connections is not None,
        negative_limit=-(pool.max_connections or 0),
        driver=pool.driver,
        pool_class=pool.pool_class,
        size=pool.size or 0,
    )


def _limits(pool: Any) -> tuple[int | None, int | None]:
    """Return the size and the limit of a pool, None if unlimited (a QueuePool of size 0 is)."""
    if isinstance(pool, QueuePool):
        size, overflow = pool.size(), pool._max_overflow
        return size or None, size + overflow if size and overflow >= 0 else None
    if isinstance(pool, SingletonThreadPool):
        return pool.size, pool.size
    if isinstance(pool, (StaticPool, AssertionPool)):
        return 1, 1
    return None, None


def _read_settings(pool: Any) -> dict[str, str]:
    """Return the settings of a pool; those of the queue only if it has one."""
    settings = {
        "recycle": _write_seconds(pool._recycle),
        "pre_ping": _write_flag(pool._pre_ping),
        "reset_on_return": pool._reset_on_return.name.removeprefix("reset_"),
    }
    if isinstance(pool, QueuePool):
        settings["timeout"] = _write_seconds(pool._timeout)
        settings["use_lifo"] = _write_flag(getattr(pool._pool, "use_lifo", False))
    return settings


def _write_seconds(seconds: object) -> str:
    """Return a limit as a text; SQLAlchemy writes None or -1 for no limit."""
    if not isinstance(seconds, (int, float)) or seconds < 0:
        return "none"
    return f"{seconds:.12g}"


def _write_flag(flag: object) -> str:
    return "true" if flag else "false"


class _Endpoint(NamedTuple):
    host: str = ""
    port: int | None = None
    database: str = ""


def _endpoint(pool: Pool) -> _Endpoint:
    """Return where the pool connects; empty if `create_engine` did not build its creator.

    SQLAlchemy does not pass the URL to the pool. Its only trace is the creator, a closure over the
    arguments of the driver's connect(). Only host, port and database are read from them.
    """
    try:
        seen = inspect.getclosurevars(pool._creator).nonlocals
    except (TypeError, ValueError):
        return _Endpoint()
    arguments = seen.get("cparams")
    if not isinstance(arguments, Mapping):
        return _Endpoint()
    host, port = _address(arguments)
    database = arguments.get("database") or arguments.get("dbname") or arguments.get("db")
    positional = seen.get("cargs_tup") or seen.get("cargs") or ()
    if database is None and getattr(pool._dialect, "name", "") == "sqlite" and positional:
        database = positional[0]
    return _Endpoint(host, port, database if isinstance(database, str) else "")


def _address(arguments: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the host, or a socket's folder or path, and the port; several hosts as one text.

    asyncpg takes lists of hosts and ports, libpq takes texts with commas.
    """
    hosts = _split(arguments.get("unix_socket") or arguments.get("host"))
    ports = [int(port) if port.isdigit() else None for port in _split(arguments.get("port"))]
    if len(hosts) < 2:
        return "".join(hosts), ports[0] if len(ports) == 1 else None
    if len(ports) != len(hosts):
        ports = (ports or [None])[:1] * len(hosts)
    return ",".join(map(_join, hosts, ports)), None


def _split(value: object) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [str(each or "") for each in value]
    return str(value).split(",") if isinstance(value, (str, int)) else []


def _join(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _plain_class(pool: Pool) -> type[Pool]:
    """Return the class from which `metrics_class` made the pool's class."""
    return next(
        cls for cls in type(pool).__mro__ if not cls.__dict__.get("_records_metrics", False)
    )
