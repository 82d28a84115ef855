"""MariaDB as a normal process on a free port of 127.0.0.1, with the same users as PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy import URL

from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER, Account, quote_literal
from tests.servers.endpoints import find_free_port
from tests.servers.programs import Program, find_program

# The data is of no value, and memory is scarce.
OPTIONS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "innodb-buffer-pool-size": "16M",
    "innodb-log-file-size": "8M",
    "innodb-flush-log-at-trx-commit": "0",
    "aria-pagecache-buffer-size": "8M",
    "max-connections": "40",
}


@dataclass(frozen=True, slots=True)
class MariaDB:
    port: int
    program: Program

    @property
    def pid(self) -> int:
        return self.program.pid

    def stop(self) -> None:
        self.program.stop()

    def start(self) -> None:
        """Start the stopped server and wait until it is ready."""
        self.program.start()
        self.program.wait_until_ready(lambda: is_ready(self))

    def url(
        self,
        database: str = "mysql",
        user: str = SUPERUSER.user,
        password: str = SUPERUSER.password,
        driver: str = "pymysql",
        scheme: str = "mysql",
    ) -> str:
        """Return the URL of a database with the password."""
        url = URL.create(f"{scheme}+{driver}", user, password, "127.0.0.1", self.port, database)
        return url.render_as_string(hide_password=False)

    def connect(
        self,
        account: Account = SUPERUSER,
        database: str | None = None,
        timeout: float | None = None,
    ) -> pymysql.Connection[Any]:
        """Return an open connection, which its `with` block closes; `timeout` in seconds."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=account.user,
            password=account.password,
            database=database,
            connect_timeout=timeout or 10,
            read_timeout=timeout,
        )

    def execute(self, statement: str) -> list[Any]:
        """Run one statement as the superuser and return its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            connection.commit()
            return list(cursor.fetchall())


@contextmanager
def run_mariadb(folder: Path, options: Mapping[str, str] | None = None) -> Iterator[MariaDB]:
    port = find_free_port()
    data_dir = create_data_dir(folder)
    settings = {
        **OPTIONS,
        **(options or {}),
        "datadir": str(data_dir),
        "port": str(port),
        "socket": str(folder / "socket"),
        "pid-file": str(folder / "pid"),
        "init-file": str(write_accounts(folder)),
    }
    command = [find_program("mariadbd", "mariadb-server"), "--no-defaults"]
    command += [f"--{key}={value}" for key, value in settings.items()] + run_as_root()
    with Program(command, folder / "log") as program:
        server = MariaDB(port, program)
        program.wait_until_ready(lambda: is_ready(server))
        yield server


def create_data_dir(folder: Path) -> Path:
    data_dir = folder / "data"
    command = [
        find_program("mariadb-install-db", "mariadb-server"),
        "--no-defaults",
        f"--datadir={data_dir}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--innodb-log-file-size=8M",
    ]
    command += run_as_root()
    made = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    if made.returncode:
        raise RuntimeError(f"{command[0]} failed: {made.stdout}{made.stderr}")
    return data_dir


def run_as_root() -> list[str]:
    """Return the option without which MariaDB refuses to run as root."""
    return ["--user=root"] if os.geteuid() == 0 else []


def write_accounts(folder: Path) -> Path:
    """Write the statements that the server runs when it starts, one on each line."""
    statements = [f"CREATE DATABASE IF NOT EXISTS {DATABASE};"]
    for account in (SUPERUSER, PLAIN, MONITOR):
        name = f"{account.user}@'127.0.0.1'"
        password = quote_literal(account.password)
        statements.append(f"CREATE USER IF NOT EXISTS {name} IDENTIFIED BY {password};")
    statements += [
        f"GRANT ALL ON *.* TO {SUPERUSER.user}@'127.0.0.1' WITH GRANT OPTION;",
        f"GRANT ALL ON {DATABASE}.* TO {PLAIN.user}@'127.0.0.1';",
        f"GRANT PROCESS ON *.* TO {MONITOR.user}@'127.0.0.1';",
        f"GRANT SELECT ON {DATABASE}.* TO {MONITOR.user}@'127.0.0.1';",
    ]
    path = folder / "accounts.sql"
    path.write_text("\n".join(statements))
    return path


def is_ready(server: MariaDB) -> bool:
    try:
        server.execute("SELECT 1")
    except pymysql.OperationalError:
        return False
    return True
