"""Scenes of faults: the URL of a database, and the servers and proxies behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import psycopg
import pymysql
import pytest
from sqlalchemy import make_url

from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.mariadb import MariaDB
from tests.servers.pgbouncer import PgBouncer
from tests.servers.processes import list_children, read_title
from tests.servers.proxy import Proxy, open_proxy

Request = pytest.FixtureRequest


class Server(Protocol):
    """A server that can be stopped and started again; stopping ends its connections."""

    @property
    def pid(self) -> int | None: ...

    def stop(self) -> None: ...

    def start(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """A database at `url`.

    `count_sessions` counts the sessions of the URL's user `PLAIN` on the server; None means that
    it cannot be known at the moment.
    """

    url: str
    count_sessions: Callable[[], int | None]


@dataclass(frozen=True, slots=True)
class ProxyScene(Scene):
    proxy: Proxy


@dataclass(frozen=True, slots=True)
class PostgresScene(Scene):
    server: EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class MariaDBScene(Scene):
    server: MariaDB


@dataclass(frozen=True, slots=True)
class BouncerScene(Scene):
    server: PgBouncer
    behind: EmbeddedPostgres


OpenScene = Callable[[Request], AbstractContextManager[Scene]]


def behind_proxy(driver: str) -> OpenScene:
    """Return a scene of the shared server behind its own proxy."""

    @contextmanager
    def open_scene(request: Request) -> Iterator[Scene]:
        fixture = "mariadb" if driver == "pymysql" else "postgres"
        server: EmbeddedPostgres | MariaDB = request.getfixturevalue(fixture)
        with open_proxy(server.port) as proxy:
            url = make_url(server.url(DATABASE, *PLAIN, driver=driver)).set(port=proxy.port)
            yield ProxyScene(
                url.render_as_string(hide_password=False), lambda: count(server), proxy
            )

    return open_scene


@contextmanager
def on_postgres(request: Request) -> Iterator[Scene]:
    server: EmbeddedPostgres = request.getfixturevalue("mortal_postgres")
    url = server.url(DATABASE, *PLAIN, driver="asyncpg")
    yield PostgresScene(url, lambda: count_postgres(server), server)


@contextmanager
def on_mariadb(request: Request) -> Iterator[Scene]:
    server: MariaDB = request.getfixturevalue("mortal_mariadb")
    yield MariaDBScene(server.url(DATABASE, *PLAIN), lambda: count_mariadb(server), server)


@contextmanager
def on_pgbouncer(request: Request) -> Iterator[Scene]:
    behind: EmbeddedPostgres = request.getfixturevalue("mortal_postgres")
    server: PgBouncer = request.getfixturevalue("mortal_pgbouncer")
    yield BouncerScene(server.url(), lambda: count_pgbouncer(server), server, behind)


def count(server: EmbeddedPostgres | MariaDB) -> int | None:
    return count_mariadb(server) if isinstance(server, MariaDB) else count_postgres(server)


def count_postgres(server: EmbeddedPostgres) -> int | None:
    """Count by the titles of the server's processes, which include hanging logins."""
    if server.pid is None:
        return None
    titles = map(read_title, list_children(server.pid))
    return sum(title.startswith(f"postgres: {PLAIN.user} ") for title in titles)


def count_mariadb(server: MariaDB) -> int | None:
    try:
        # A paused server does not answer.
        with server.connect(timeout=1) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW PROCESSLIST")
            return [row[1] for row in cursor.fetchall()].count(PLAIN.user)
    except pymysql.OperationalError:
        return None


def count_pgbouncer(server: PgBouncer) -> int | None:
    """Count clients, not connections to the server behind."""
    try:
        return [client["user"] for client in server.run_command("SHOW CLIENTS")].count(PLAIN.user)
    except psycopg.OperationalError:
        return None
