"""PgBouncer in transaction mode in front of a PostgreSQL server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import URL

from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port
from tests.servers.programs import Program, find_program

UNPRIVILEGED_USER = "nobody"


@dataclass(frozen=True, slots=True)
class PgBouncer:
    port: int
    program: Program

    @property
    def pid(self) -> int:
        return self.program.pid

    def stop(self) -> None:
        self.program.stop()

    def start(self) -> None:
        """Start the stopped PgBouncer and wait until it is ready."""
        self.program.start()
        self.program.wait_until_ready(lambda: is_listening(self))

    def run_command(self, command: str) -> list[dict[str, Any]]:
        """Run a command of the console and return its rows."""
        url = self.url("pgbouncer", *SUPERUSER, driver="psycopg").replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as console:
            cursor = console.cursor(row_factory=dict_row).execute(command)
            return cursor.fetchall() if cursor.description else []

    def url(
        self,
        database: str = DATABASE,
        user: str = PLAIN.user,
        password: str = PLAIN.password,
        driver: str = "asyncpg",
    ) -> str:
        """Return the URL of a database with the password."""
        url = URL.create(f"postgresql+{driver}", user, password, "127.0.0.1", self.port, database)
        return url.render_as_string(hide_password=False)


@contextmanager
def run_pgbouncer(
    folder: Path, server: EmbeddedPostgres, options: Mapping[str, str] | None = None
) -> Iterator[PgBouncer]:
    """Run a PgBouncer; `options` override our settings in the section [pgbouncer]."""
    port = find_free_port()
    config = write_config(folder, server.port, port, options or {})
    command = [find_program("pgbouncer", "pgbouncer"), str(config)]
    with Program(command, folder / "log", **drop_root()) as program:
        bouncer = PgBouncer(port, program)
        program.wait_until_ready(lambda: is_listening(bouncer))
        yield bouncer


def write_config(folder: Path, server_port: int, port: int, options: Mapping[str, str]) -> Path:
    users = folder / "users.txt"
    users.write_text("\n".join(write_user(*each) for each in (SUPERUSER, PLAIN, MONITOR)))
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(users),
        "admin_users": SUPERUSER.user,
        "pool_mode": "transaction",
        "default_pool_size": "2",
        **options,
    }
    lines = [
        "[databases]",
        f"{DATABASE} = host=127.0.0.1 port={server_port} dbname={DATABASE}",
        f"ghost = host=127.0.0.1 port={server_port} dbname=ghost",
        f"offline = host=127.0.0.1 port={find_free_port()} dbname={DATABASE}",
        "[pgbouncer]",
        *(f"{key} = {value}" for key, value in settings.items()),
    ]
    path = folder / "pgbouncer.ini"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_user(user: str, password: str) -> str:
    quoted = password.replace('"', '""')
    return f'"{user}" "{quoted}"'


def drop_root() -> dict[str, Any]:
    """Return subprocess options for another user: PgBouncer refuses to run as root."""
    return {"user": UNPRIVILEGED_USER, "extra_groups": []} if os.geteuid() == 0 else {}


def is_listening(bouncer: PgBouncer) -> bool:
    try:
        psycopg.connect(bouncer.url("nowhere", driver="psycopg").replace("+psycopg", ""))
    except psycopg.OperationalError as error:
        return "refused" not in str(error)
    return True
