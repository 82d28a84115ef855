"""PostgreSQL servers with the tests' database and accounts: of any version, and replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER, quote_literal
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.postgres_installation import find_bin_path, read_server_user

DEBIAN_INSTALLATIONS = Path("/usr/lib/postgresql")


def find_installations() -> dict[str, Path]:
    """Return folders of programs by name: all versions in the wheel, and those of Debian."""
    wheel = find_bin_path().parent.parent
    found = [*wheel.glob("pginstall*/bin"), *DEBIAN_INSTALLATIONS.glob("*/bin")]
    return {path.parent.name: path for path in sorted(found)}


@contextmanager
def run_postgres(
    folder: Path,
    options: Mapping[str, str] | None = None,
    hba: str | None = None,
    installation: Path | None = None,
) -> Iterator[EmbeddedPostgres]:
    """Run a server with `DATABASE`, the superuser, a plain user and a member of pg_monitor."""
    server = EmbeddedPostgres(
        folder / "data",
        options=options,
        hba=hba,
        password=SUPERUSER.password,
        programs=installation,
    )
    with server:
        create_accounts(server)
        yield server


@contextmanager
def run_replica(folder: Path, primary: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """Run a hot standby that streams from the primary, with its databases and accounts."""
    replica = EmbeddedPostgres(folder / "data", password=SUPERUSER.password)
    replica.data_dir.mkdir(mode=0o700)
    read_server_user().give(replica.data_dir)
    source = f"host=127.0.0.1 port={primary.port} user={SUPERUSER.user}"
    arguments = ["--checkpoint=fast", "--no-sync", "--write-recovery-conf", f"--dbname={source}"]
    primary.run(
        "pg_basebackup",
        f"--pgdata={replica.data_dir}",
        *arguments,
        environ={"PGPASSWORD": SUPERUSER.password},
    )
    with replica:
        yield replica


def create_accounts(server: EmbeddedPostgres) -> None:
    """Create the tests' users and their database."""
    for account in (PLAIN, MONITOR):
        password = quote_literal(account.password)
        execute(server, f"CREATE ROLE {account.user} LOGIN PASSWORD {password}")
    execute(server, f"GRANT pg_monitor TO {MONITOR.user}")
    execute(server, f"CREATE DATABASE {DATABASE}")


def execute(server: EmbeddedPostgres, statement: str, database: str = "postgres") -> list[Any]:
    """Run one statement as the superuser, outside a transaction, and return its rows."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
