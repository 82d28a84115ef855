from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.databases.checkout import DeadlineError
from sqlalchemy_pool_exporter.databases.login_progress import LoginProgress
from tests.conftest import StartPostgres
from tests.exporter.open_databases import ASYNC, PATIENCE, TIMEOUT, ask, open_database, plain_url
from tests.exporter.waiting import wait_for
from tests.faults.scenes import PostgresScene, count_postgres
from tests.faults.strikes import locked_catalogue
from tests.servers.endpoints import LOCALHOST


@contextmanager
def connect(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((LOCALHOST, port)) as client:
        yield client


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((LOCALHOST, 0)) as listener:
        yield listener


def test_a_login_is_answered_when_the_server_has_sent_something(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    login = LoginProgress([LOCALHOST], [port])
    assert not login.server_has_answered()
    with connect(port) as client:
        server, _ = listener.accept()
        client.send(b"SSLRequest")
        assert not login.server_has_answered()
        with server:
            server.send(b"N")
            client.recv(1)
            assert login.server_has_answered()
    assert not login.server_has_answered()


def test_connections_that_were_there_before_or_lead_elsewhere_do_not_count(
    listener: socket.socket,
) -> None:
    port = listener.getsockname()[1]
    elsewhere = (
        LoginProgress(["127.0.0.2"], [port]),
        LoginProgress([LOCALHOST], [port + 1]),
        LoginProgress([], []),
    )
    with connect(port) as client:
        server, _ = listener.accept()
        with server:
            server.send(b"N")
            client.recv(1)
            assert not LoginProgress([LOCALHOST], [port]).server_has_answered()
            assert not any(login.server_has_answered() for login in elsewhere)


@pytest.mark.anyio
async def test_a_server_that_hangs_in_a_login_gets_one_session_however_often_it_is_asked(
    start_postgres: StartPostgres,
) -> None:
    server = start_postgres()
    scene = PostgresScene("", lambda: count_postgres(server), server)
    async with open_database(plain_url(server)) as database:
        await ask(database, "SELECT 1")
        with locked_catalogue(scene):
            for _ in range(5):
                with pytest.raises(DeadlineError, match="no connection within"):
                    await ask(database, "SELECT 1", fresh=True, timeout_seconds=TIMEOUT)
                assert count_postgres(server) == 2  # the pool's, and the one that hangs
            waiting = asyncio.create_task(ask(database, "SELECT 1", fresh=True))
            await asyncio.sleep(0)
        assert await waiting == 1
        await wait_for(lambda: count_postgres(server) == 1)


@pytest.mark.anyio
async def test_a_probe_that_timed_out_in_its_login_asks_nothing_when_it_ends(
    start_postgres: StartPostgres,
) -> None:
    server = start_postgres()
    scene = PostgresScene("", lambda: count_postgres(server), server)
    asked: list[str] = []
    async with open_database(plain_url(server)) as database:
        with locked_catalogue(scene), pytest.raises(DeadlineError):
            await database.run(lambda _: asked.append("late"), fresh=False, timeout_seconds=TIMEOUT)
        await ask(database, "SELECT 1")  # its turn comes when the other's is over
        assert asked == []
        assert database.read_pool().connections_opened == 1, "the late connection is the pool's"


@pytest.mark.anyio
async def test_a_login_that_hangs_does_not_delay_closing(start_postgres: StartPostgres) -> None:
    server = start_postgres()
    scene = PostgresScene("", lambda: count_postgres(server), server)
    with locked_catalogue(scene):
        async with asyncio.timeout(PATIENCE / 2):
            async with open_database(plain_url(server)) as database:
                with pytest.raises(DeadlineError, match="no connection within"):
                    await ask(database, "SELECT 1", timeout_seconds=TIMEOUT)
        assert await count_tasks(database) == 0


async def count_tasks(database: Database) -> int:
    await asyncio.sleep(0)
    return len([task for task in asyncio.all_tasks() if task.get_name() == database.name])


@pytest.mark.anyio
async def test_a_server_that_never_answers_gets_a_new_connection_each_time(
    listener: socket.socket,
) -> None:
    """The way to it may be lost for this connection and not for the next one."""
    url = f"postgresql+{ASYNC}://app@{LOCALHOST}:{listener.getsockname()[1]}/shop"
    async with open_database(url) as database:
        for _ in range(3):
            with pytest.raises(DeadlineError):
                await ask(database, "SELECT 1", timeout_seconds=TIMEOUT)
            server, _ = listener.accept()
            with server:
                server.settimeout(PATIENCE)
                while server.recv(1024):  # until the client hangs up
                    pass
