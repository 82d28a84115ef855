"""Faults as context managers: they damage a scene, and heal it at the end of the block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import psycopg
import pymysql

from tests.faults.scenes import BouncerScene, MariaDBScene, PostgresScene, ProxyScene, Server
from tests.servers.accounts import DATABASE, MONITOR, SUPERUSER
from tests.servers.conditions import wait_until
from tests.servers.processes import pause
from tests.servers.proxy import Proxy

# Takes a scene of the kind that it fits.
Strike = Callable[[Any], AbstractContextManager[None]]

# The server may hold the slot of a session that is ending for a moment.
REFUSALS = 3


def damage_proxy(do: Callable[[Proxy], None]) -> Strike:
    """Return a fault of the proxy."""

    @contextmanager
    def strike(scene: ProxyScene) -> Iterator[None]:
        do(scene.proxy)
        try:
            yield
        finally:
            scene.proxy.heal()

    return strike


def lose_silently(proxy: Proxy) -> None:
    """Lose old and new connections, as if a cable were cut."""
    proxy.stay_silent()
    proxy.lose()


@contextmanager
def stopped(scene: PostgresScene | MariaDBScene | BouncerScene) -> Iterator[None]:
    server: Server = scene.server
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def restarted(scene: PostgresScene | MariaDBScene | BouncerScene) -> Iterator[None]:
    """Stop the server and start it at once."""
    with stopped(scene):
        pass
    yield


@contextmanager
def paused(scene: PostgresScene | MariaDBScene) -> Iterator[None]:
    assert scene.server.pid is not None
    with pause(scene.server.pid):
        yield


@contextmanager
def full_postgres(scene: PostgresScene) -> Iterator[None]:
    url = scene.server.url(DATABASE, *MONITOR)
    with fill(lambda: psycopg.connect(url), psycopg.OperationalError, scene.count_sessions):
        yield


@contextmanager
def full_mariadb(scene: MariaDBScene) -> Iterator[None]:
    ((limit,),) = scene.server.execute("SELECT @@max_connections")
    scene.server.execute("SET GLOBAL max_connections = 10")
    try:
        with fill(
            lambda: scene.server.connect(MONITOR), pymysql.OperationalError, scene.count_sessions
        ):
            yield
    finally:
        scene.server.execute(f"SET GLOBAL max_connections = {limit}")


@contextmanager
def fill(
    connect: Callable[[], AbstractContextManager[Any]],
    refusal: type[Exception],
    count_sessions: Callable[[], int | None],
) -> Iterator[None]:
    """Open connections until the server refuses more, also after others have ended theirs."""
    refusals = 0
    with ExitStack() as stack:

        def is_full() -> bool:
            nonlocal refusals
            refusals += 1
            with suppress(refusal):
                while True:
                    stack.enter_context(connect())
                    refusals = 0
            return refusals >= REFUSALS and (count_sessions() or 0) <= 1

        wait_until(is_full, "the server to be full")
        yield


@contextmanager
def locked_table(scene: PostgresScene | MariaDBScene) -> Iterator[None]:
    if isinstance(scene, PostgresScene):
        with hold_lock(scene, "locked"):
            yield
        return
    with scene.server.connect(SUPERUSER, DATABASE) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLES locked WRITE")
        yield


@contextmanager
def locked_catalogue(scene: PostgresScene) -> Iterator[None]:
    """Lock a table of the catalogue, so that no session can be opened."""
    with hold_lock(scene, "pg_catalog.pg_class"):
        yield


@contextmanager
def hold_lock(scene: PostgresScene, table: str) -> Iterator[None]:
    with psycopg.connect(scene.server.url(DATABASE)) as other:
        other.execute(f"LOCK TABLE {table}")
        yield


@contextmanager
def paused_by_command(scene: BouncerScene) -> Iterator[None]:
    scene.server.run_command("PAUSE")
    try:
        yield
    finally:
        scene.server.run_command("RESUME")


@contextmanager
def stopped_behind(scene: BouncerScene) -> Iterator[None]:
    scene.behind.stop()
    try:
        yield
    finally:
        scene.behind.start()
