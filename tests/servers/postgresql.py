"""PostgreSQL as the tests want it: passwords everywhere, one database, three kinds of users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from exporter.demo.postgres import EmbeddedPostgres
from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER, quote_literal


@contextmanager
def run_postgres(
    folder: Path, options: Mapping[str, str] | None = None, hba: str | None = None
) -> Iterator[EmbeddedPostgres]:
    """A server with `DATABASE`, the superuser, a plain user and a member of pg_monitor."""
    server = EmbeddedPostgres(
        folder / "data", options=options, hba=hba, password=SUPERUSER.password
    )
    with server:
        create_accounts(server)
        yield server


def create_accounts(server: EmbeddedPostgres) -> None:
    for account in (PLAIN, MONITOR):
        password = quote_literal(account.password)
        execute(server, f"CREATE ROLE {account.user} LOGIN PASSWORD {password}")
    execute(server, f"GRANT pg_monitor TO {MONITOR.user}")
    execute(server, f"CREATE DATABASE {DATABASE}")


def execute(server: EmbeddedPostgres, statement: str, database: str = "postgres") -> list[Any]:
    """Runs one statement as the superuser, outside a transaction, and returns its rows."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
