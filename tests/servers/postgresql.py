"""PostgreSQL as the tests want it: passwords everywhere, one database, three kinds of users.

Also other versions of it, and a replica.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from sqlalchemy_pool_exporter.demo.installation import (
    copy_installation,
    find_bin_path,
    read_server_user,
)
from sqlalchemy_pool_exporter.demo.postgres import EmbeddedPostgres
from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER, quote_literal

DEBIAN_INSTALLATIONS = Path("/usr/lib/postgresql")


class OtherPostgres(EmbeddedPostgres):
    """A server of another version than the newest in the wheel."""

    def __init__(self, programs: Path, data_dir: Path, **settings: Any) -> None:
        super().__init__(data_dir, **settings)
        self._programs = programs

    @property
    def bin_path(self) -> Path:
        return self._programs


def find_installations() -> dict[str, Path]:
    """Folders of programs by name: all versions of the wheel, and Debian's where there are any."""
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
    """A server with `DATABASE`, the superuser, a plain user and a member of pg_monitor."""
    settings: dict[str, Any] = {"options": options, "hba": hba, "password": SUPERUSER.password}
    data_dir = folder / "data"
    if installation is None:
        server = EmbeddedPostgres(data_dir, **settings)
    else:
        server = OtherPostgres(bring_into_reach(installation, folder), data_dir, **settings)
    with server:
        create_accounts(server)
        yield server


@contextmanager
def run_replica(folder: Path, primary: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A hot standby that streams from the primary, with all its databases and accounts."""
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


def bring_into_reach(installation: Path, folder: Path) -> Path:
    """The programs, or copies of them where the server's user cannot get at them."""
    user = read_server_user()
    if user.can_reach(installation):
        return installation
    copies = copy_installation(installation, folder)
    user.let_in(copies)
    return copies


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
