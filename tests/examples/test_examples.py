"""The commands in each example's README work, with the exporter beside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.accounts import DATABASE, SUPERUSER
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a user's terminal."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "QUEUE_DIR": str(tmp_path / "queue")}


def read_blocks(folder: str, postgres: EmbeddedPostgres, pools: Path) -> list[str]:
    """Return the README's commands with this machine's ports, database and folder."""
    text = (ROOT / "examples" / folder / "README.md").read_text()
    database = postgres.url(DATABASE, *SUPERUSER).removeprefix("postgresql://")
    port, listen = find_free_port(), find_free_port()
    for written, meant in {
        "app:secret@localhost/shop": database,
        "/tmp/example-pools": str(pools),  # noqa: S108
        "127.0.0.1:8000": f"127.0.0.1:{port}",
        "--port 8000": f"--port {port}",
        "127.0.0.1:9723": f"127.0.0.1:{listen}",
        "sqlalchemy-pool-exporter\n": f"sqlalchemy-pool-exporter --listen 127.0.0.1:{listen}\n",
    }.items():
        text = text.replace(written, meant)
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@contextmanager
def running(commands: str, environment: dict[str, str]) -> Iterator[None]:
    """Run the commands in their own terminal, and end them with Ctrl-C."""
    with subprocess.Popen(  # noqa: S602 - as people type it
        commands, shell=True, cwd=ROOT, env=environment, start_new_session=True
    ) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("folder", ["starlette_app", "flask_gunicorn", "celery_worker"])
def test_an_example_shows_its_pools_beside_the_exporter(
    folder: str, postgres: EmbeddedPostgres, tmp_path: Path, environment: dict[str, str]
) -> None:
    _install, start, serve, ask = read_blocks(folder, postgres, tmp_path / "pools")
    work, look = ask.splitlines()

    def shell(command: str) -> str:
        given = {**environment, **read_exports(start)}
        return subprocess.run(  # noqa: S602 - as people type it
            command, shell=True, cwd=ROOT, env=given, stdout=subprocess.PIPE, text=True, check=False
        ).stdout

    with running(start, environment), running(serve, environment):
        wait_until(lambda: bool(shell(work)), "the app to answer", PATIENCE)
        wait_until(lambda: bool(shell(look)), "the pools to be shown", PATIENCE)
        shown = shell(look)
    assert f'application="{folder.split("_")[0]}-example"' in shown
    assert shown.startswith(read_shown(folder))


def read_exports(commands: str) -> dict[str, str]:
    """Return the variables that the app's terminal exports; the other terminal needs them, too."""
    return dict(re.findall(r"(\w+)='?([^\s']+)", commands))


def read_shown(folder: str) -> str:
    """Return the line that the README shows, without its value."""
    text = (ROOT / "examples" / folder / "README.md").read_text()
    (line,) = re.findall(r"^```text\n(.*) \d", text, re.MULTILINE)
    return str(line)


@pytest.mark.parametrize("folder", ["starlette_app", "flask_gunicorn", "celery_worker"])
def test_an_example_is_a_page_of_code(folder: str) -> None:
    (code,) = (ROOT / "examples" / folder).glob("*.py")
    assert len(code.read_text().splitlines()) <= 40
