from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.databases.checkout import DeadlineError
from sqlalchemy_pool_exporter.databases.executors import MAX_ABANDONED, TooManyAbandonedCallsError
from sqlalchemy_pool_exporter.dialects import DatabaseURL, find_dialect
from sqlalchemy_pool_exporter.dialects import registry as dialects_registry
from sqlalchemy_pool_exporter.settings import DatabaseSettings
from tests.exporter.open_databases import (
    ASYNC,
    DRIVERS,
    PATIENCE,
    SYNC,
    TIMEOUT,
    ask,
    build_settings,
    open_database,
    open_registry,
    plain_url,
    redirect,
)
from tests.exporter.waiting import wait_for
from tests.servers.accounts import DATABASE, PLAIN, quote_literal
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.folders import make_folder
from tests.servers.mariadb import MariaDB
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import execute, run_postgres
from tests.servers.proxy import Proxy, open_proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    (tmp_path / "shop.db").touch()
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_statement_timeout_reaches_postgresql(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    async with open_database(plain_url(postgres, driver), statement_timeout=7) as database:
        assert await ask(database, "SHOW statement_timeout") == "7s"
        assert await ask(database, "SHOW statement_timeout", fresh=True) == "7s"


async def test_a_statement_timeout_reaches_mariadb(mariadb: MariaDB) -> None:
    async with open_database(mariadb.url(), statement_timeout=7) as database:
        assert float(await ask(database, "SELECT @@max_statement_time")) == 7
        assert float(await ask(database, "SELECT @@max_statement_time", fresh=True)) == 7


@pytest.mark.parametrize("place", ["url", "connect_args"])
@pytest.mark.parametrize("password", ["pü£ß-12345", "abc€xyz", "пароль", "🔑\u00a0key"])
async def test_mariadb_takes_passwords_of_any_characters(
    mariadb: MariaDB, password: str, place: str
) -> None:
    mariadb.execute("DROP USER IF EXISTS writer@'127.0.0.1'")
    mariadb.execute(f"CREATE USER writer@'127.0.0.1' IDENTIFIED BY {quote_literal(password)}")
    url = mariadb.url("", "writer", password if place == "url" else "wrong")
    arguments = {"password": password} if place == "connect_args" else {}
    async with open_database(url, connect_args=arguments) as database:
        assert str(await ask(database, "SELECT current_user()")).startswith("writer@")


@pytest.mark.parametrize("statement", ["SET SESSION no_such_limit = 1", "LIMIT ME"])
async def test_a_server_that_does_not_know_the_limit_is_up(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    odd = replace(find_dialect("mysql"), session_limit=lambda _: statement)
    monkeypatch.setattr(dialects_registry, "DIALECTS", (odd, *dialects_registry.DIALECTS))
    async with open_database(mariadb.url()) as database:
        assert await ask(database, "SELECT 1") == 1


@pytest.mark.parametrize("driver", DRIVERS)
async def test_configured_connect_args_win_over_ours(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    if driver == ASYNC:
        arguments: dict[str, Any] = {"server_settings": {"application_name": "mine"}}
    else:
        arguments = {"application_name": "mine", "options": "-c statement_timeout=3000"}
    url = plain_url(postgres, driver)
    async with open_database(url, statement_timeout=7, connect_args=arguments) as database:
        assert await ask(database, "SHOW application_name") == "mine"
        assert await ask(database, "SHOW statement_timeout") == ("7s" if driver == ASYNC else "3s")


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_query_that_waits_for_a_lock_leaves_no_session_behind(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    count_waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    lock = "SELECT pg_advisory_lock(4711)"
    with psycopg.connect(postgres.url(DATABASE), autocommit=True) as holder:
        holder.execute(lock)
        async with open_database(plain_url(postgres, driver)) as database:
            with pytest.raises((DeadlineError, DBAPIError)):
                await ask(database, lock, timeout_seconds=TIMEOUT)
            await wait_for(lambda: holder.execute(count_waiting).fetchall() == [(0,)])
            assert await ask(database, "SELECT 1") == 1


@pytest.mark.parametrize("driver", DRIVERS)
async def test_clients_of_pgbouncer_do_not_mix_up_their_prepared_statements(
    pgbouncer: PgBouncer, driver: str
) -> None:
    url = pgbouncer.url(DATABASE, *PLAIN, driver=driver)
    settings = {f"client {number}": build_settings(url) for number in range(4)}
    async with open_registry(settings) as registry:
        for _ in range(5):
            await asyncio.gather(*(ask(database, "SELECT 1") for database in registry))
        await asyncio.gather(*(ask(database, "SELECT 1", fresh=True) for database in registry))
        prepared = await ask(next(iter(registry)), "SELECT count(*) FROM pg_prepared_statements")
    assert prepared == 0


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_rotated_password_is_used_for_the_next_connection(
    postgres: EmbeddedPostgres, tmp_path: Path, driver: str
) -> None:
    def rotate(password: str) -> None:
        execute(postgres, f"ALTER ROLE rotated PASSWORD {quote_literal(password)}")

    execute(postgres, "CREATE ROLE rotated LOGIN PASSWORD 'old:p@ss'")
    file = tmp_path / "password"
    file.write_text("old:p@ss\n")
    url = postgres.url(DATABASE, "rotated", "ignored", driver=driver)
    try:
        async with open_database(url, password_file=str(file)) as database:
            assert await ask(database, "SELECT 1") == 1
            rotate("n3w:p@ss")
            assert await ask(database, "SELECT 1") == 1
            with pytest.raises(Exception, match="password authentication failed"):
                await ask(database, "SELECT 1", fresh=True)
            file.write_text("n3w:p@ss\n")
            assert await ask(database, "SELECT 1", fresh=True) == 1
            assert "n3w:p@ss" in database.secrets
    finally:
        execute(postgres, "DROP ROLE rotated")


async def test_a_secret_file_that_hangs_hangs_no_other_database(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    read_url = DatabaseSettings.read_url

    def hang(settings: DatabaseSettings) -> DatabaseURL:
        if settings.labels:
            assert threading.current_thread() is not threading.main_thread()
            release.wait()
        return read_url(settings)

    url = plain_url(postgres)
    async with (
        open_database(url, labels={"mount": "hangs"}) as lost,
        open_database(url) as healthy,
    ):
        monkeypatch.setattr(DatabaseSettings, "read_url", hang)
        for _ in range(MAX_ABANDONED + 2):
            with pytest.raises(DeadlineError, match="could not be read in time"):
                await ask(lost, "SELECT 1", timeout_seconds=0.1)
        assert await ask(healthy, "SELECT 1") == 1
        release.set()
        assert await ask(lost, "SELECT 1") == 1


async def test_a_url_file_that_names_another_driver_needs_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("sqlite://")
    settings = build_settings("sqlite://").model_copy(update={"url": None, "url_file": file})
    async with open_registry({"shop": settings}) as registry:
        file.write_text("postgresql+psycopg://u:canary@h/d")
        with pytest.raises(RuntimeError, match="reload the configuration") as raised:
            await ask(registry.get("shop"), "SELECT 1")
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("pre_ping", [True, False])
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_restart_of_the_server_between_two_checkouts_goes_unnoticed(
    restarting_postgres: EmbeddedPostgres, driver: str, pre_ping: bool
) -> None:
    url = plain_url(restarting_postgres, driver)
    async with open_database(url, pool={"pre_ping": pre_ping}) as database:
        await ask(database, "SELECT 1")
        restarting_postgres.restart("immediate")
        assert await ask(database, "SELECT 1") == 1


@pytest.fixture(scope="module")
def restarting_postgres() -> Iterator[EmbeddedPostgres]:
    with make_folder("postgres") as folder, run_postgres(folder) as server:
        yield server


@pytest.mark.parametrize("pre_ping", [True, False])
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_connection_that_goes_silent_is_cut_off_and_replaced(
    postgres: EmbeddedPostgres, driver: str, pre_ping: bool
) -> None:
    with open_proxy(postgres.port) as proxy:
        async with open_database(
            redirect(plain_url(postgres, driver), proxy.port), pool={"pre_ping": pre_ping}
        ) as database:
            await survive_silence(database, proxy)


async def test_a_connection_of_mariadb_that_goes_silent_is_cut_off_and_replaced(
    mariadb: MariaDB,
) -> None:
    with open_proxy(mariadb.port) as proxy:
        async with open_database(redirect(mariadb.url(), proxy.port)) as database:
            await survive_silence(database, proxy)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_an_encrypted_connection_that_goes_silent_is_cut_off_and_replaced(
    postgres: EmbeddedPostgres, postgres_tls_port: int, driver: str
) -> None:
    url = f"{plain_url(postgres, driver)}?sslmode=require"
    with open_proxy(postgres_tls_port) as proxy:
        async with open_database(redirect(url, proxy.port)) as database:
            await survive_silence(database, proxy)


async def survive_silence(database: Database, proxy: Proxy) -> None:
    await ask(database, "SELECT 1")
    proxy.freeze()
    with pytest.raises(DeadlineError, match=f"within {TIMEOUT:g} s"):
        await ask(database, "SELECT 1", timeout_seconds=TIMEOUT)
    assert "abandoned=0" in repr(database)  # the driver noticed, and no thread hangs
    proxy.heal()
    assert await ask(database, "SELECT 1") == 1
    await wait_for(lambda: proxy.clients == 1)
    snapshot = database.read_pool()
    assert (snapshot.checked_out, snapshot.checked_in) == (0, 1)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("fresh", [True, False])
async def test_a_connection_that_goes_silent_on_its_return_is_cut_off(
    postgres: EmbeddedPostgres, driver: str, fresh: bool
) -> None:
    with open_proxy(postgres.port) as proxy:
        async with open_database(redirect(plain_url(postgres, driver), proxy.port)) as database:

            def work(connection: Connection) -> None:
                connection.exec_driver_sql("SELECT 1")
                proxy.freeze()

            with pytest.raises(DeadlineError, match=r"connection not returned within 0\.5 s"):
                await database.run(work, fresh=fresh, timeout_seconds=TIMEOUT)
            proxy.heal()
            await wait_for(lambda: proxy.clients == 0)
            assert await ask(database, "SELECT 1") == 1


@pytest.fixture(params=["silent", "dropping"])
def black_hole(request: pytest.FixtureRequest) -> int:
    port: int = request.getfixturevalue(f"{request.param}_port")
    return port


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("scheme", [*(f"postgresql+{each}" for each in DRIVERS), "mysql+pymysql"])
async def test_a_server_that_never_answers_is_a_timeout_and_leaves_no_connection(
    black_hole: int, scheme: str, fresh: bool
) -> None:
    url = f"{scheme}://user:secret@127.0.0.1:{black_hole}/shop"
    async with open_database(url, probe={"timeout": TIMEOUT}) as database:
        with pytest.raises((DeadlineError, DBAPIError)):
            await ask(database, "SELECT 1", fresh=fresh, timeout_seconds=TIMEOUT)
        assert database.read_pool().checked_in == 0
    gc.collect()  # so that a connection that was not closed warns in this test


async def test_a_sync_driver_does_not_block_the_event_loop(postgres: EmbeddedPostgres) -> None:
    async with open_database(plain_url(postgres, SYNC)) as database:
        release = threading.Event()
        checkout = asyncio.create_task(
            database.run(lambda _: release.wait(), fresh=False, timeout_seconds=PATIENCE)
        )
        await wait_for(lambda: database.read_pool().checked_out == 1)
        release.set()
        await checkout


async def test_a_call_that_does_not_get_its_turn_ends_in_time(
    sqlite_url: str,
) -> None:
    release = threading.Event()
    async with open_database(sqlite_url) as database:
        first = asyncio.create_task(
            database.run(lambda _: release.wait(), fresh=False, timeout_seconds=PATIENCE)
        )
        await wait_for(lambda: database.read_pool().checked_out == 1)
        with pytest.raises(DeadlineError, match="no connection within"):
            await ask(database, "SELECT 1", timeout_seconds=0.05)
        release.set()
        await first
        assert await ask(database, "SELECT 1") == 1


async def test_calls_that_hang_for_good_are_abandoned_up_to_a_limit(sqlite_url: str) -> None:
    release = threading.Event()
    async with open_database(sqlite_url) as database:

        async def hang() -> None:
            await database.run(lambda _: release.wait(), fresh=False, timeout_seconds=0.05)

        for _ in range(MAX_ABANDONED):
            with pytest.raises(DeadlineError):
                await hang()
        with pytest.raises(TooManyAbandonedCallsError):
            await hang()
        release.set()
        await wait_for(lambda: "abandoned=0" in repr(database))
        assert await ask(database, "SELECT 1") == 1


async def test_sqlite_works_in_a_new_thread_after_one_was_abandoned(
    sqlite_url: str,
) -> None:
    release = threading.Event()
    for pool_class in ("queue", "static", "singleton_thread", "assertion", "null"):
        release.clear()
        async with open_database(sqlite_url, pool={"class": pool_class}) as database:
            with pytest.raises(DeadlineError):
                await database.run(lambda _: release.wait(), fresh=False, timeout_seconds=0.05)
            assert await ask(database, "SELECT 1") == 1
            release.set()
            await wait_for(lambda: "abandoned=0" in repr(database))
            assert await ask(database, "SELECT 1") == 1


@pytest.mark.parametrize("pool_class", ["singleton_thread", "static"])
async def test_a_database_in_memory_keeps_its_data(pool_class: str) -> None:
    async with open_database("sqlite://", pool={"class": pool_class}) as database:

        def create(connection: Connection) -> None:
            connection.exec_driver_sql("CREATE TABLE kept (id integer)")
            connection.exec_driver_sql("INSERT INTO kept VALUES (7)")
            connection.commit()

        await database.run(create, fresh=False, timeout_seconds=PATIENCE)
        assert await ask(database, "SELECT id FROM kept") == 7


@pytest.fixture
def silent_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server that does not answer for any name below `example`."""
    release = threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **keywords: Any) -> Any:
        if str(host).endswith(".example"):
            release.wait()
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    release.set()


@pytest.mark.usefixtures("silent_names")
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_silent_name_server_hangs_no_other_database_and_stays_the_reason(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    url = f"postgresql+{driver}://user@database.example/shop"
    expected = "No answer from the name server: database.example"
    async with open_database(url) as lost, open_database(plain_url(postgres, driver)) as healthy:
        for _ in range(MAX_ABANDONED + 2):
            with pytest.raises(socket.gaierror, match=expected):
                await ask(lost, "SELECT 1", timeout_seconds=0.1)
            assert await ask(healthy, "SELECT 1", fresh=True) == 1


@pytest.mark.usefixtures("silent_names")
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_silent_name_beside_an_address_reaches_no_driver(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    asyncio.get_running_loop().set_default_executor(executor := ThreadPoolExecutor(1))
    healthy_url = plain_url(postgres, driver).replace("127.0.0.1", "localhost")
    assert "localhost" in healthy_url
    url = f"postgresql+{driver}://u:pw@127.0.0.1:1,silent.example:5432/d"
    async with open_database(url) as lost, open_database(healthy_url) as healthy:
        with pytest.raises((OSError, DBAPIError), match=r"127\.0\.0\.1"):
            await ask(lost, "SELECT 1", timeout_seconds=TIMEOUT)
        assert await ask(healthy, "SELECT 1", timeout_seconds=5) == 1
    executor.shutdown()


@pytest.mark.usefixtures("silent_names")
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_silent_name_does_not_hide_the_host_that_answers(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    url = plain_url(postgres, driver)
    address = f"127.0.0.1:{postgres.port}"
    assert address in url
    async with open_database(url.replace(address, f"silent.example:1,{address}")) as database:
        assert await ask(database, "SELECT 1", fresh=True, timeout_seconds=2) == 1


async def test_recreating_puts_a_new_pool_in_place(postgres: EmbeddedPostgres) -> None:
    async with open_database(plain_url(postgres, ASYNC)) as database:
        before = await ask(database, "SELECT pg_backend_pid()")
        await database.recreate()
        assert await ask(database, "SELECT pg_backend_pid()") != before
        assert database.read_pool().checked_in == 1


async def test_recreating_over_a_dead_connection_is_over_in_time_without_a_traceback(
    postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = plain_url(postgres, ASYNC)
    with open_proxy(postgres.port) as proxy:
        async with open_database(redirect(url, proxy.port), probe={"timeout": TIMEOUT}) as database:
            await ask(database, "SELECT 1")
            proxy.freeze()
            with pytest.raises(DeadlineError, match=r"pool not recreated within 0\.5 s"):
                await database.recreate()
            proxy.heal()
            assert await ask(database, "SELECT 1") == 1
    assert caplog.messages == []


async def test_closing_ends_the_sessions_on_the_server(
    postgres: EmbeddedPostgres,
) -> None:
    with open_proxy(postgres.port) as proxy:
        async with open_database(redirect(plain_url(postgres, ASYNC), proxy.port)) as database:
            await ask(database, "SELECT 1")
        await wait_for(lambda: proxy.clients == 0)
