"""The servers of the fixtures: who may log in, and through what."""

from __future__ import annotations

import psycopg
import pymysql
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from tests.conftest import StartPostgres
from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER, Account
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.mariadb import MariaDB
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import execute
from tests.servers.tls import Certificates

ACCOUNTS = [SUPERUSER, PLAIN, MONITOR]


def fetch(url: str, statement: str) -> object:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return connection.scalar(text(statement))


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.user)
def test_every_account_logs_in_to_postgresql(postgres: EmbeddedPostgres, account: Account) -> None:
    url = postgres.url(DATABASE, *account, driver="psycopg")
    assert fetch(url, "SELECT current_user") == account.user


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.user)
def test_postgresql_checks_the_password(postgres: EmbeddedPostgres, account: Account) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url(DATABASE, account.user, "wrong"))


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.user)
def test_every_account_logs_in_to_mariadb(mariadb: MariaDB, account: Account) -> None:
    url = mariadb.url(DATABASE, *account)
    assert fetch(url, "SELECT current_user()") == f"{account.user}@127.0.0.1"


def test_mariadb_checks_the_password(mariadb: MariaDB) -> None:
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(host="127.0.0.1", port=mariadb.port, user=SUPERUSER.user, password="wrong")


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.user)
def test_every_account_gets_through_pgbouncer(pgbouncer: PgBouncer, account: Account) -> None:
    url = pgbouncer.url(DATABASE, *account, driver="psycopg")
    assert fetch(url, "SELECT current_user") == account.user


def test_another_server_has_its_own_settings(start_postgres: StartPostgres) -> None:
    server = start_postgres(
        options={"max_connections": "7"}, hba="host all postgres 127.0.0.1/32 scram-sha-256"
    )
    assert execute(server, "SHOW max_connections") == [("7",)]
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(server.url(DATABASE, *PLAIN))


def test_postgresql_behind_tls_shows_a_certificate_of_our_authority(
    postgres: EmbeddedPostgres, postgres_tls_port: int, certificates: Certificates
) -> None:
    url = make_url(postgres.url(DATABASE, *PLAIN, driver="psycopg")).set(port=postgres_tls_port)
    query = {"sslmode": "verify-full", "sslrootcert": str(certificates.authority)}
    address = url.set(query=query).render_as_string(hide_password=False)
    assert fetch(address, "SELECT repeat('x', 200000)") == "x" * 200000
