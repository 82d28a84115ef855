"""A private PostgreSQL server on this machine, with the programs of the wheel or others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.servers.endpoints import find_free_port
from tests.servers.postgres_installation import (
    EmbeddedPostgresError,
    copy_installation,
    find_bin_path,
    read_server_user,
)

SUPERUSER = "postgres"
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# The data is of no value, unix sockets may have too long a path, /dev/shm may be too small.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
}


class EmbeddedPostgres:
    """One PostgreSQL server on a TCP port of 127.0.0.1; for one thread at a time.

    Root's server runs as `nobody`, and the parents of `data_dir` become traversable. Failures are
    raised as `EmbeddedPostgresError`.

    Args:
        data_dir: The folder of the data, created if it does not exist.
        port: The port; None takes a free one and keeps it.
        options: Server settings, which override `OPTIONS`. To change them, change the attribute
            and call `restart()`.
        hba: Replaces pg_hba.conf.
        password: The superuser's; without it everybody on this machine may log in.
        programs: The folder of PostgreSQL's programs; the newest in the wheel by default.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        hba: str | None = None,
        password: str | None = None,
        programs: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_path = self.data_dir / "server.log"
        self.options = dict(options or {})
        self.hba = hba
        self._port = port
        self._password = password
        self._user = read_server_user()
        self._programs = programs
        self._bin_path: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop("immediate")

    def __repr__(self) -> str:
        state = "stopped" if self.pid is None else f"running, pid {self.pid}"
        return f"<EmbeddedPostgres {state}, port {self._port}, data in {self.data_dir}>"

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster, or None while the server is not running."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def port(self) -> int:
        """The port that the server listens on, chosen at the first use."""
        if self._port is None:
            self._port = find_free_port()
        return self._port

    @property
    def bin_path(self) -> Path:
        """The folder of PostgreSQL's programs, copied where the server's user cannot reach it."""
        if self._bin_path is None:
            found = self._programs or find_bin_path()
            if not self._user.can_reach(found):
                found = copy_installation(found, self.data_dir.parent)
                self._user.let_in(found)
            self._bin_path = found
        return self._bin_path

    def url(
        self,
        database: str = "postgres",
        user: str = SUPERUSER,
        password: str | None = None,
        driver: str | None = None,
    ) -> str:
        """Return the URL of a database with the password; the superuser's is the default."""
        if password is None and user == SUPERUSER:
            password = self._password
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        secret = "" if password is None else ":" + quote(password, safe="")
        login = quote(user, safe="") + secret
        return f"{scheme}://{login}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def start(self) -> None:
        """Create the data folder if it is missing, start the server and wait until it is ready."""
        if self.pid is not None:
            return
        if not (self.data_dir / "PG_VERSION").exists():
            self._create_data_dir()
        if self.hba is not None:
            self.write_file("pg_hba.conf", self.hba)
        self._process = self._spawn()
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop("immediate")
            raise

    def stop(self, mode: str = "fast") -> None:
        """Stop the server and wait for its end, if it is running.

        `fast` disconnects the clients and shuts down cleanly; `immediate` is a crash.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(STOP_SIGNALS[mode])
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, mode: str = "fast") -> None:
        """Stop the server and start it with the current options."""
        self.stop(mode)
        self.start()

    def reload(self) -> None:
        """Make the server read its files again, pg_hba.conf too; it does so a moment later."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def write_file(self, name: str, text: str) -> Path:
        """Write a file that only the server can read into the data folder and return its path."""
        return self._write_private(self.data_dir / name, text)

    def run(self, program: str, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """Run one of PostgreSQL's programs as the server's user and return what it printed."""
        completed: subprocess.CompletedProcess[str] = subprocess.run(
            [self.bin_path / program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self._process_options(environ),
        )
        if completed.returncode:
            raise EmbeddedPostgresError(
                f"{program} ended with status {completed.returncode}: {completed.stderr.strip()}"
            )
        return completed.stdout

    def _create_data_dir(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._user.let_in(self.data_dir.parent)
        self._user.give(self.data_dir)
        arguments = ["-D", str(self.data_dir), "-U", SUPERUSER, "--no-sync", "--no-instructions"]
        arguments += ["--encoding=UTF8", "--locale=C"]
        if self._password is None:
            self.run("initdb", *arguments, "--auth=trust")
            return
        password_file = self.data_dir.with_name(f"{self.data_dir.name}.password")
        try:
            self._write_private(password_file, self._password)
            self.run("initdb", *arguments, "--auth=scram-sha-256", f"--pwfile={password_file}")
        finally:
            password_file.unlink(missing_ok=True)

    def _write_private(self, path: Path, text: str) -> Path:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text)
        self._user.give(path)
        return path

    def _process_options(self, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        # "/" because the server's user may not be allowed to read the folder this process is in.
        options: dict[str, Any] = {
            "cwd": "/",
            "env": {**os.environ, "LC_ALL": "C", **(environ or {})},
        }
        if self._user.is_other:
            options |= {"user": self._user.uid, "group": self._user.gid, "extra_groups": []}
        return options

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = {**OPTIONS, **self.options, "port": str(self.port)}
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with self.log_path.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal must not reach the server before us.
            return subprocess.Popen(
                [self.bin_path / "postgres", "-D", str(self.data_dir), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._process_options(),
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready(process.pid):
            if process.poll() is not None:
                raise EmbeddedPostgresError(f"PostgreSQL did not start: {self._read_log()}")
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL was not ready after {READY_SECONDS:g} s: {self._read_log()}"
                )
            time.sleep(POLL_SECONDS)

    def _is_ready(self, pid: int) -> bool:
        """Read postmaster.pid as pg_ctl does: line 1 is the process id, line 8 the state."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _read_log(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return " | ".join(lines[-5:]) or "its log is empty"
