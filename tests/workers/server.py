"""The shop's connections as PostgreSQL counts them, and the gate at which they wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg

from tests.servers.accounts import SUPERUSER
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.postgresql import execute
from tests.workers.shop.pool import GATE

CONNECTIONS = """
SELECT split_part(application_name, ':', 2)::integer, count(*),
       count(*) FILTER (WHERE wait_event_type = 'Lock' AND wait_event = 'advisory')
FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'shop:%%' GROUP BY 1
"""
KEEPERS = 1
SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = %s"


class Connections(NamedTuple):
    """The connections of one process: all, and those that wait at the gate."""

    all: int
    held: int


class Server:
    """The shop's database; for one thread."""

    def __init__(self, postgres: EmbeddedPostgres, database: str) -> None:
        self._postgres = postgres
        self._database = database
        # From another database: every session of this one but the keeper's is the shop's.
        self._observer = psycopg.connect(postgres.url("postgres"), autocommit=True)
        # Advisory locks are a database's own.
        self._keeper = psycopg.connect(postgres.url(database), autocommit=True)

    @property
    def url(self) -> str:
        return self._postgres.url(self._database, *SUPERUSER, driver="psycopg")

    def read_connections(self) -> dict[int, Connections]:
        """Return the connections of each process that has one."""
        rows = self._observer.execute(CONNECTIONS, [self._database]).fetchall()
        return {pid: Connections(*numbers) for pid, *numbers in rows}

    def count(self) -> int:
        return sum(each.all for each in self.read_connections().values())

    def count_held(self) -> int:
        return sum(each.held for each in self.read_connections().values())

    def count_sessions(self) -> int:
        """Return how many connections the shop has opened; open ones may be missing."""
        row = self._observer.execute(SESSIONS, [self._database]).fetchone()
        assert row
        return int(row[0]) - KEEPERS

    @contextmanager
    def close_gate(self) -> Iterator[None]:
        """Close the gate for the time of the block."""
        self._keeper.execute(f"SELECT pg_advisory_lock({GATE})")
        try:
            yield
        finally:
            self._keeper.execute(f"SELECT pg_advisory_unlock({GATE})")

    def close(self) -> None:
        """Drop the database."""
        self._keeper.close()
        self._observer.execute(f'DROP DATABASE "{self._database}" WITH (FORCE)')
        self._observer.close()


@contextmanager
def open_server(postgres: EmbeddedPostgres, database: str) -> Iterator[Server]:
    """Create a database for the time of the block."""
    execute(postgres, f'CREATE DATABASE "{database}"')
    server = Server(postgres, database)
    try:
        yield server
    finally:
        server.close()
