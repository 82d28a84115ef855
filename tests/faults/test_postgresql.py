"""Every refusal of a real PostgreSQL, through engines of each of its drivers."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from sqlalchemy_pool_exporter.failures import Failure, Reason
from tests.conftest import StartPostgres
from tests.faults.clients import ASYNCPG, POSTGRESQL_CLIENTS, PSYCOPG, Client
from tests.servers.accounts import DATABASE, PLAIN, SUPERUSER, Account, quote_literal
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.postgresql import execute
from tests.servers.tls import write_certificates

pytestmark = pytest.mark.parametrize("client", POSTGRESQL_CLIENTS, ids=str)


def build_url(server: EmbeddedPostgres, client: Client, account: Account = PLAIN) -> str:
    return server.url(DATABASE, *account, driver=client.driver)


@contextmanager
def fill(server: EmbeddedPostgres, *accounts: Account) -> Iterator[None]:
    """Open a connection for each account, waiting for slots that were just released."""
    with ExitStack() as stack:

        def is_open(account: Account) -> bool:
            try:
                stack.enter_context(psycopg.connect(server.url(DATABASE, *account)))
            except psycopg.OperationalError:
                return False
            return True

        for account in accounts:
            wait_until(lambda account=account: is_open(account), "a free connection")  # type: ignore[misc]
        yield


def fail_while(client: Client, server: EmbeddedPostgres, end: str) -> Failure:
    """Return the failure of a running statement that the superuser ends with the function `end`."""
    statement = f"SELECT pg_sleep(60), '{client}'"
    # A statement in preparation would not notice, so wait until it sleeps.
    is_running = f"wait_event = 'PgSleep' AND query = {quote_literal(statement)}"
    find = f"FROM pg_stat_activity WHERE {is_running}"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.fail, build_url(server, client), statement)
        wait_until(lambda: bool(execute(server, f"SELECT {end}(pid) {find}")), "the statement")
        return future.result()


def test_a_wrong_password_has_the_reason_auth(client: Client, postgres: EmbeddedPostgres) -> None:
    failure = client.fail(postgres.url(DATABASE, PLAIN.user, "wr0ng", driver=client.driver))
    assert failure.reason is Reason.AUTH
    assert f'password authentication failed for user "{PLAIN.user}"' in failure.message


def test_an_unknown_user_has_the_reason_auth(client: Client, postgres: EmbeddedPostgres) -> None:
    failure = client.fail(postgres.url(DATABASE, "stranger", "wr0ng", driver=client.driver))
    assert failure.reason is Reason.AUTH


def test_a_host_that_pg_hba_rejects_has_the_reason_auth(
    client: Client, start_postgres: StartPostgres
) -> None:
    server = start_postgres(hba="host postgres postgres 127.0.0.1/32 scram-sha-256")
    failure = client.fail(build_url(server, client))
    assert failure.reason is Reason.AUTH
    assert "no pg_hba.conf entry" in failure.message


def test_a_database_without_access_has_the_reason_auth(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    execute(postgres, "CREATE DATABASE private")
    try:
        execute(postgres, "REVOKE CONNECT ON DATABASE private FROM PUBLIC")
        failure = client.fail(postgres.url("private", *PLAIN, driver=client.driver))
    finally:
        execute(postgres, "DROP DATABASE private")
    assert failure.reason is Reason.AUTH
    assert "permission denied for database" in failure.message


def test_a_missing_database_is_named(client: Client, postgres: EmbeddedPostgres) -> None:
    failure = client.fail(postgres.url("nowhere", *PLAIN, driver=client.driver))
    assert failure.reason is Reason.NO_DATABASE
    assert 'database "nowhere" does not exist' in failure.message


def test_a_database_dropped_during_use_is_missing_afterwards(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    execute(postgres, "CREATE DATABASE short_lived")
    url = postgres.url("short_lived", *PLAIN, driver=client.driver)
    client.run(url, "SELECT 1")
    execute(postgres, "DROP DATABASE short_lived")
    assert client.fail(url).reason is Reason.NO_DATABASE


def test_a_full_server_has_too_many_connections(
    client: Client, full_postgres: EmbeddedPostgres
) -> None:
    with fill(full_postgres, PLAIN, PLAIN, PLAIN):
        failure = client.fail(build_url(full_postgres, client))
    assert failure.reason is Reason.TOO_MANY_CONNECTIONS
    assert "remaining connection slots are reserved" in failure.message


def test_a_server_full_for_superusers_too_has_too_many_connections(
    client: Client, full_postgres: EmbeddedPostgres
) -> None:
    with fill(full_postgres, PLAIN, PLAIN, PLAIN, SUPERUSER):
        failure = client.fail(build_url(full_postgres, client, SUPERUSER))
    assert failure.reason is Reason.TOO_MANY_CONNECTIONS
    assert "too many clients" in failure.message


def test_a_user_at_their_limit_has_too_many_connections(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    execute(postgres, f"ALTER ROLE {PLAIN.user} CONNECTION LIMIT 0")
    try:
        failure = client.fail(build_url(postgres, client))
    finally:
        execute(postgres, f"ALTER ROLE {PLAIN.user} CONNECTION LIMIT -1")
    assert failure.reason is Reason.TOO_MANY_CONNECTIONS


def test_a_server_without_tls_has_the_reason_tls(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    failure = client.fail(build_url(postgres, client), **client.tls)
    assert failure.reason is Reason.TLS
    assert "SSL" in failure.message


def test_a_certificate_of_an_unknown_authority_has_the_reason_tls(
    client: Client, postgres: EmbeddedPostgres, postgres_tls_port: int, tmp_path: Path
) -> None:
    stranger = write_certificates(tmp_path).authority
    url = make_url(build_url(postgres, client)).set(port=postgres_tls_port)
    tls: dict[str, dict[str, Any]] = {
        ASYNCPG.driver: {"ssl": ssl.create_default_context(cafile=stranger)},
        PSYCOPG.driver: {"sslmode": "verify-full", "sslrootcert": str(stranger)},
    }
    failure = client.fail(url.render_as_string(hide_password=False), **tls[client.driver])
    assert failure.reason is Reason.TLS
    assert "certificate" in failure.message.lower()


def test_a_statement_past_the_statement_timeout_is_a_timeout(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    failure = client.fail(
        build_url(postgres, client), "SET statement_timeout = '20ms'", "SELECT pg_sleep(60)"
    )
    assert failure.reason is Reason.TIMEOUT
    assert "statement timeout" in failure.message


def test_a_locked_table_past_the_lock_timeout_is_a_timeout(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.url(DATABASE)) as other:
        other.execute("CREATE TABLE locked ()")
        other.execute("GRANT SELECT ON locked TO PUBLIC")
        other.commit()
        other.execute("LOCK TABLE locked")
        failure = client.fail(
            build_url(postgres, client), "SET lock_timeout = '20ms'", "SELECT FROM locked"
        )
        other.execute("DROP TABLE locked")
    assert failure.reason is Reason.TIMEOUT
    assert "lock timeout" in failure.message


def test_a_transaction_idle_past_its_timeout_is_a_timeout(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    sessions = f"SELECT FROM pg_stat_activity WHERE usename = '{PLAIN.user}'"
    failure = client.fail(
        build_url(postgres, client),
        "SET idle_in_transaction_session_timeout = '1ms'",
        lambda: wait_until(lambda: not execute(postgres, sessions), "the session to end"),
        "SELECT 1",
    )
    # psycopg's asynchronous connections can meet the end of the connection before the message.
    may_miss_message = client.driver == "psycopg" and client.is_async
    expected = {Reason.TIMEOUT, *({Reason.REFUSED} if may_miss_message else ())}
    assert failure.reason in expected


def test_a_cancelled_statement_has_the_reason_query(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    failure = fail_while(client, postgres, "pg_cancel_backend")
    assert failure.reason is Reason.QUERY
    assert "user request" in failure.message


def test_a_terminated_session_has_the_reason_refused(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    failure = fail_while(client, postgres, "pg_terminate_backend")
    assert failure.reason is Reason.REFUSED
    assert "administrator command" in failure.message


def test_writing_in_a_read_only_session_is_read_only(
    client: Client, postgres: EmbeddedPostgres
) -> None:
    failure = client.fail(
        build_url(postgres, client), "CREATE TABLE forbidden ()", **client.read_only
    )
    assert failure.reason is Reason.READ_ONLY
    assert "read-only transaction" in failure.message


def test_a_replica_where_a_writable_server_is_required_is_read_only(
    client: Client, start_postgres: StartPostgres
) -> None:
    server = start_postgres(options={"default_transaction_read_only": "off"})
    execute(server, f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
    failure = client.fail(build_url(server, client), target_session_attrs="read-write")
    assert failure.reason is Reason.READ_ONLY


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT 1/0", "SELECT * FROM missing_table"])
def test_a_statement_the_server_rejects_has_the_reason_query(
    client: Client, postgres: EmbeddedPostgres, statement: str
) -> None:
    failure = client.fail(build_url(postgres, client), statement)
    assert failure.reason is Reason.QUERY
    assert "SQLSTATE" in failure.message


def test_a_server_that_shuts_down_refuses(client: Client, start_postgres: StartPostgres) -> None:
    server = start_postgres()
    # One connection keeps the server in its "smart" shutdown, in which it takes no others.
    with fill(server, PLAIN):
        assert server.pid is not None
        os.kill(server.pid, signal.SIGTERM)
        url = build_url(server, client)
        wait_until(lambda: "shutting down" in client.fail(url).message, "the shutdown")
        failure = client.fail(url)
    assert failure.reason is Reason.REFUSED


def test_a_server_that_is_gone_is_refused(client: Client, start_postgres: StartPostgres) -> None:
    server = start_postgres()
    client.run(build_url(server, client), "SELECT 1")
    server.stop()
    assert client.fail(build_url(server, client)).reason is Reason.REFUSED
