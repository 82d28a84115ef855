"""Servers that a test may stop, pause, fill and lock; the test heals them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.folders import make_folder
from tests.servers.mariadb import MariaDB, run_mariadb
from tests.servers.pgbouncer import PgBouncer, run_pgbouncer
from tests.servers.postgresql import execute, run_postgres

# Room for nine connections that are not the superuser's.
POSTGRES_OPTIONS = {
    "max_connections": "12",
    "superuser_reserved_connections": "3",
    "max_wal_senders": "0",
}
# What it reports of a server that is down must be current.
PGBOUNCER_OPTIONS = {"server_login_retry": "0.1"}


@pytest.fixture(scope="session")
def mortal_postgres() -> Iterator[EmbeddedPostgres]:
    """A server with an empty table `locked`."""
    with make_folder("postgres") as folder, run_postgres(folder, POSTGRES_OPTIONS) as server:
        execute(server, "CREATE TABLE locked ()", DATABASE)
        execute(server, f"GRANT SELECT ON locked TO {PLAIN.user}", DATABASE)
        yield server


@pytest.fixture(scope="session")
def mortal_mariadb() -> Iterator[MariaDB]:
    """A server with an empty table `locked`."""
    with make_folder("mariadb") as folder, run_mariadb(folder) as server:
        server.execute(f"CREATE TABLE {DATABASE}.locked (id INT)")
        yield server


@pytest.fixture(scope="session")
def mortal_pgbouncer(mortal_postgres: EmbeddedPostgres) -> Iterator[PgBouncer]:
    with (
        make_folder("pgbouncer") as folder,
        run_pgbouncer(folder, mortal_postgres, PGBOUNCER_OPTIONS) as bouncer,
    ):
        yield bouncer
