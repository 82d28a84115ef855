"""Errors of PgBouncer itself, nearly always with SQLSTATE 08P01."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from sqlalchemy_pool_exporter.failures import Reason
from tests.conftest import StartPgBouncer, StartPostgres
from tests.exporter.probes.open_probes import open_probe
from tests.faults.clients import ASYNCPG, PSYCOPG, Client
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.pgbouncer import PgBouncer

pytestmark = pytest.mark.parametrize("client", [ASYNCPG, PSYCOPG], ids=str)


def connect(bouncer: PgBouncer) -> psycopg.Connection[Any]:
    return psycopg.connect(bouncer.url(driver="psycopg").replace("+psycopg", ""))


def test_a_wrong_password_has_the_reason_auth(client: Client, pgbouncer: PgBouncer) -> None:
    url = pgbouncer.url(DATABASE, PLAIN.user, "wr0ng", driver=client.driver)
    assert client.fail(url).reason is Reason.AUTH


def test_an_unknown_user_has_the_reason_auth(client: Client, pgbouncer: PgBouncer) -> None:
    url = pgbouncer.url(DATABASE, "stranger", "wr0ng", driver=client.driver)
    assert client.fail(url).reason is Reason.AUTH


def test_a_database_unknown_to_pgbouncer_is_missing(client: Client, pgbouncer: PgBouncer) -> None:
    failure = client.fail(pgbouncer.url("nowhere", *PLAIN, driver=client.driver))
    assert failure.reason is Reason.NO_DATABASE


def test_a_database_unknown_to_the_server_is_missing(
    client: Client, start_pgbouncer: StartPgBouncer
) -> None:
    failure = client.fail(start_pgbouncer().url("ghost", *PLAIN, driver=client.driver))
    assert failure.reason is Reason.NO_DATABASE


def test_a_client_beyond_the_limit_of_pgbouncer_has_too_many_connections(
    client: Client, start_pgbouncer: StartPgBouncer
) -> None:
    bouncer = start_pgbouncer({"max_client_conn": "1"})
    with connect(bouncer):
        failure = client.fail(bouncer.url(driver=client.driver))
    assert failure.reason is Reason.TOO_MANY_CONNECTIONS
    assert "no more connections allowed" in failure.message


def test_waiting_too_long_for_a_server_connection_is_a_timeout(
    client: Client, start_pgbouncer: StartPgBouncer
) -> None:
    bouncer = start_pgbouncer({"default_pool_size": "1", "query_wait_timeout": "1"})
    with connect(bouncer) as other:
        other.execute("SELECT 1")
        failure = client.fail(bouncer.url(driver=client.driver))
    assert failure.reason is Reason.TIMEOUT
    assert "query_wait_timeout" in failure.message


def test_a_statement_past_the_query_timeout_is_a_timeout(
    client: Client, start_pgbouncer: StartPgBouncer
) -> None:
    bouncer = start_pgbouncer({"query_timeout": "1"})
    failure = client.fail(bouncer.url(driver=client.driver), "SELECT pg_sleep(60)")
    assert failure.reason is Reason.TIMEOUT


def test_a_server_that_is_down_behind_pgbouncer_is_refused(
    client: Client, start_pgbouncer: StartPgBouncer, start_postgres: StartPostgres
) -> None:
    server = start_postgres()
    bouncer = start_pgbouncer({"query_wait_timeout": "1"}, server=server)
    client.run(bouncer.url(driver=client.driver), "SELECT 1")
    server.stop()
    # The first client waits until PgBouncer notices.
    waited = client.fail(bouncer.url(driver=client.driver))
    failure = client.fail(bouncer.url(driver=client.driver))
    assert waited.reason in {Reason.TIMEOUT, Reason.REFUSED}
    assert failure.reason is Reason.REFUSED
    assert "server_login_retry" in failure.message


def test_pgbouncer_without_tls_has_the_reason_tls(client: Client, pgbouncer: PgBouncer) -> None:
    failure = client.fail(pgbouncer.url(driver=client.driver), **client.tls)
    assert failure.reason is Reason.TLS


def test_a_startup_parameter_unknown_to_pgbouncer_has_the_reason_driver(
    client: Client, pgbouncer: PgBouncer
) -> None:
    arguments: dict[str, dict[str, Any]] = {
        ASYNCPG.driver: {"server_settings": {"work_mem": "4MB"}},
        PSYCOPG.driver: {"options": "-c work_mem=4MB"},
    }
    failure = client.fail(pgbouncer.url(driver=client.driver), **arguments[client.driver])
    assert failure.reason is Reason.DRIVER
    assert "startup parameter" in failure.message


@pytest.mark.anyio
async def test_a_statement_timeout_is_refused_while_the_probes_own_limit_is_not(
    client: Client, pgbouncer: PgBouncer
) -> None:
    url = pgbouncer.url(driver=client.driver)
    async with open_probe(url) as probe:
        assert (await probe.check()).ok
    async with open_probe(url, statement_timeout="2s") as probe:
        failure = (await probe.check()).failure
    assert failure is not None
    assert failure.reason is Reason.DRIVER
    assert "startup parameter" in failure.message
