"""Every reason, caused by a real fault, in /metrics, /health/db and the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pymysql
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncEngine

from sqlalchemy_pool_exporter.failures import PROBE_REASONS, Reason
from tests.exporter.web.clients import build_app, open_client, read_service
from tests.servers.accounts import DATABASE, PLAIN, SUPERUSER
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import LOCALHOST, UNKNOWN_HOST, UNROUTABLE_HOST, open_talking_port
from tests.servers.mariadb import MariaDB

pytestmark = pytest.mark.anyio

PROBE = {"interval": "1h", "timeout": "3s", "fresh_connection_interval": "1h"}
WRONG_PASSWORD = "cAnArY wr0ng/p@ss%20word"
Request = pytest.FixtureRequest
Fault = Callable[[Request], Mapping[str, Any]]


def at(host: str, port: int | str, scheme: str = "postgresql") -> dict[str, Any]:
    port = f":{port}" if port else ""
    return {"url": f"{scheme}://app:cAnArY@{host}{port}/shop"}


def on_port(fixture: str, scheme: str = "postgresql") -> Fault:
    return lambda request: at(LOCALHOST, request.getfixturevalue(fixture), scheme)


def on_server(fixture: str, driver: str, account: tuple[str, str] = PLAIN, **keys: Any) -> Fault:
    """Return a fault of a server that is up: something in the probe fails."""

    def build(request: Request) -> Mapping[str, Any]:
        server: EmbeddedPostgres | MariaDB = request.getfixturevalue(fixture)
        database = keys.pop("database", DATABASE)
        return {"url": server.url(database, *account, driver=driver), **keys}

    return build


def asking(fixture: str, driver: str, query: str, **keys: Any) -> Fault:
    return on_server(fixture, driver, probe={**PROBE, "query": query}, **keys)


def on_full_postgres(request: Request) -> Mapping[str, Any]:
    server: EmbeddedPostgres = request.getfixturevalue("full_postgres")
    held: ExitStack = request.getfixturevalue("held")
    for _ in range(3):
        held.enter_context(psycopg.connect(server.url(DATABASE, *PLAIN)))
    return {"url": server.url(DATABASE, *PLAIN)}


def on_full_mariadb(request: Request) -> Mapping[str, Any]:
    server: MariaDB = request.getfixturevalue("mariadb")
    held: ExitStack = request.getfixturevalue("held")
    ((limit,),) = server.execute("SELECT @@max_connections")
    server.execute("SET GLOBAL max_connections = 10")
    held.callback(server.execute, f"SET GLOBAL max_connections = {limit}")
    with suppress(pymysql.OperationalError):  # too many connections
        while True:
            held.enter_context(server.connect(PLAIN, DATABASE))
    return {"url": server.url(DATABASE, *PLAIN, driver="pymysql")}


def on_stranger(request: Request) -> Mapping[str, Any]:
    held: ExitStack = request.getfixturevalue("held")
    return at(LOCALHOST, held.enter_context(open_talking_port(b"SSH-2.0-OpenSSH_9.2\r\n")), "mysql")


READ_ONLY = {"connect_args": {"server_settings": {"default_transaction_read_only": "on"}}}
WRONG_LOGIN = (PLAIN.user, WRONG_PASSWORD)
FAULTS: dict[str, tuple[Reason, Fault]] = {
    "postgresql, unknown host": (Reason.DNS, lambda _: at(UNKNOWN_HOST, 5432)),
    "postgresql, closed port": (Reason.REFUSED, on_port("closed_port")),
    "postgresql, no route": (Reason.UNREACHABLE, lambda _: at(UNROUTABLE_HOST, 5432)),
    "postgresql, silent address": (Reason.TIMEOUT, on_port("silent_port")),
    "postgresql, dropped packets": (Reason.TIMEOUT, on_port("dropping_port")),
    "postgresql, slow query": (
        Reason.TIMEOUT,
        asking("postgres", "asyncpg", "SELECT pg_sleep(60)"),
    ),
    "postgresql, statement cancelled": (
        Reason.TIMEOUT,
        asking("postgres", "asyncpg", "SELECT pg_sleep(60)", statement_timeout="50ms"),
    ),
    "postgresql, TLS refused": (
        Reason.TLS,
        on_server("postgres", "asyncpg", connect_args={"ssl": "require"}),
    ),
    "postgresql, wrong password": (Reason.AUTH, on_server("postgres", "asyncpg", WRONG_LOGIN)),
    "postgresql, missing database": (
        Reason.NO_DATABASE,
        on_server("postgres", "asyncpg", database="missing"),
    ),
    "postgresql, full server": (Reason.TOO_MANY_CONNECTIONS, on_full_postgres),
    "postgresql, read-only": (
        Reason.READ_ONLY,
        asking("postgres", "asyncpg", "CREATE TABLE forbidden (id int)", **READ_ONLY),
    ),
    "postgresql, wrong query": (Reason.QUERY, asking("postgres", "asyncpg", "SELECT nonsense")),
    "postgresql, a stranger answers": (
        Reason.DRIVER,
        on_port("garbage_port", "postgresql+psycopg"),
    ),
    "postgresql, a file of the server is missing": (
        Reason.OTHER,
        asking("postgres", "asyncpg", "SELECT pg_read_file('missing')", account=SUPERUSER),
    ),
    "mariadb, unknown host": (Reason.DNS, lambda _: at(UNKNOWN_HOST, "", "mysql")),
    "mariadb, closed port": (Reason.REFUSED, on_port("closed_port", "mysql")),
    "mariadb, no route": (Reason.UNREACHABLE, lambda _: at(UNROUTABLE_HOST, "", "mysql")),
    "mariadb, silent address": (Reason.TIMEOUT, on_port("silent_port", "mysql")),
    "mariadb, dropped packets": (Reason.TIMEOUT, on_port("dropping_port", "mysql")),
    "mariadb, slow query": (Reason.TIMEOUT, asking("mariadb", "pymysql", "SELECT SLEEP(60)")),
    "mariadb, TLS refused": (
        Reason.TLS,
        on_server("mariadb", "pymysql", connect_args={"ssl": {"check_hostname": False}}),
    ),
    "mariadb, wrong password": (Reason.AUTH, on_server("mariadb", "pymysql", WRONG_LOGIN)),
    "mariadb, missing database": (
        Reason.NO_DATABASE,
        on_server("mariadb", "pymysql", database="missing", account=SUPERUSER),
    ),
    "mariadb, full server": (Reason.TOO_MANY_CONNECTIONS, on_full_mariadb),
    "mariadb, read-only": (
        Reason.READ_ONLY,
        asking(
            "mariadb",
            "pymysql",
            "CREATE TABLE forbidden (id int)",
            connect_args={"init_command": "SET SESSION TRANSACTION READ ONLY"},
        ),
    ),
    "mariadb, wrong query": (Reason.QUERY, asking("mariadb", "pymysql", "SELECT nonsense")),
    "mariadb, a stranger answers": (Reason.DRIVER, on_stranger),
}


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def count_errors(metrics: str) -> dict[str, float]:
    """Return the errors counted so far, by reason, without zeros."""
    return {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "sqlalchemy_database_probe_errors_total" and sample.value
    }


@pytest.mark.parametrize(("reason", "fault"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_shows_its_reason_in_metrics_health_and_log(
    reason: Reason, fault: Fault, request: Request, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    app = build_app({"shop": fault(request)}, probe=PROBE)
    async with open_client(app) as client:
        health = await client.get("/health/db/shop")
        metrics = (await client.get("/metrics")).text
    lines = [r for r in caplog.records if getattr(r, "database", None) == "shop"]

    assert (health.status_code, health.json()["reason"]) == (503, reason)
    assert health.json()["message"]
    assert set(count_errors(metrics)) == {reason}
    assert 'sqlalchemy_database_up{database="shop"} 0.0' in metrics
    assert [getattr(line, "reason", None) for line in lines] == [reason]
    shown = health.text + metrics + caplog.text
    for secret in ("cAnArY", WRONG_PASSWORD, PLAIN.password, SUPERUSER.password):
        assert secret not in shown


async def test_an_exhausted_pool_shows_as_a_pool_timeout(
    postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    pool = {"size": 1, "max_overflow": 0, "timeout": "50ms"}
    url = postgres.url(DATABASE, *PLAIN)
    app = build_app({"shop": {"url": url, "pool": pool}}, probe=PROBE)
    async with open_client(app) as client:
        assert (await client.get("/health/db/shop")).status_code == 200
        engine = read_service(app).databases.get("shop").engine
        async with AsyncEngine(engine).connect():
            health = await client.get("/health/db/shop")
        metrics = (await client.get("/metrics")).text

    assert health.json()["reason"] == "pool_timeout"
    assert count_errors(metrics) == {"pool_timeout": 1}
    assert "pool_timeout" in [getattr(record, "reason", None) for record in caplog.records]
    assert 'sqlalchemy_pool_checkout_failures_total{application="",' in metrics


def test_every_reason_has_a_fault() -> None:
    shown = {reason for reason, _ in FAULTS.values()} | {Reason.POOL_TIMEOUT}
    assert shown == set(PROBE_REASONS)
