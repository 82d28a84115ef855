"""A real application with the exported folder on its PYTHONPATH, an exporter and a database."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.programs import Program
from tests.workers.server import Server, open_server
from tests.workers.shown import Exporter, open_exporter

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / "build" / "applications"
PROGRAMS = Path(__file__).parent / "programs"
# Not pip, which takes ten times as long for some of the applications.
UV = Path(sys.executable).with_name("uv")
SECONDS = 180.0


def install(name: str, *requirements: str) -> Path:
    """Return the folder of programs of a virtual environment that is kept for the next run."""
    environment = INSTALLED / name
    stamp, wanted = environment / "installed", "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        python = ("--python", sys.executable)
        subprocess.run([UV, "venv", "--quiet", "--clear", *python, environment], check=True)
        python = ("--python", str(environment))
        subprocess.run([UV, "pip", "install", "--quiet", *python, *requirements], check=True)
        stamp.write_text(wanted)
    return environment / "bin"


@dataclass(frozen=True, slots=True)
class Stage:
    """An installed application.

    Attributes:
        bin: Its programs.
        folder: Its home and working directory.
        postgres: The server of its database.
        name: The name of its database.
        server: What the server says about the database.
        exporter: The exporter that reads its pools.
        programs: Ends the programs that run.
    """

    bin: Path
    folder: Path
    postgres: EmbeddedPostgres
    name: str
    server: Server
    exporter: Exporter
    programs: ExitStack

    def url(self, driver: str = "psycopg") -> str:
        """Return the URL of the database."""
        return self.postgres.url(self.name, driver=driver)

    def run(self, *command: str | Path, **environment: str) -> str:
        """Run a program of the application to its end, which must be a good one."""
        done = subprocess.run(
            self._find(command),
            cwd=self.folder,
            env=self._build_environment(environment),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def start(self, *command: str | Path, **environment: str) -> Program:
        """Start a program of the application."""
        program = Program(
            self._find(command),
            self.folder / f"{command[0]}.log",
            cwd=self.folder,
            env=self._build_environment(environment),
        )
        return self.programs.enter_context(program)

    def start_server(self, url: str, *command: str | Path, **environment: str) -> Program:
        """Start a program, and wait until it answers at this URL."""
        program = self.start(*command, **environment)
        program.wait_until_ready(lambda: answers(url), SECONDS)
        return program

    def stop(self) -> set[tuple[str, str]]:
        """End the programs; return application and name of each pool.

        All connections that the application has opened were counted, and no others.
        """
        self.programs.close()
        wait_until(lambda: self.exporter.read().processes == 0, "the last process to end")
        shown, pools = self.exporter.read(), self.exporter.list_pools()
        logger.info("%s: %s in %s", self.name, shown, sorted(pools))
        assert (shown.checked_out, shown.connections) == (0, 0)
        assert shown.checkouts
        wait_until(lambda: self.count_opened() == shown.opened, f"{shown.opened} connections")
        return pools

    def count_opened(self) -> int:
        """Return how many connections the server has seen, and how often SQLite opened a file."""
        opened = self.folder / "opened"
        files = opened.read_text().splitlines() if opened.exists() else []
        return self.server.count_sessions() + len(files)

    def _find(self, command: tuple[str | Path, ...]) -> list[str]:
        return [str(self.bin / command[0]), *map(str, command[1:])]

    def _build_environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONPATH": f"{self.folder / 'agent'}:{PROGRAMS}",
            "SQLALCHEMY_POOL_METRICS_DIR": str(self.folder / "pools"),
            "OPENED_FILES": str(self.folder / "opened"),
            **more,
        }


def answers(url: str) -> bool:
    """Return whether a request gets an answer that is not an error."""
    try:
        return httpx.get(url, timeout=SECONDS).is_success
    except httpx.TransportError:
        return False


@contextmanager
def set_up(
    name: str, requirements: tuple[str, ...], postgres: EmbeddedPostgres, folder: Path
) -> Iterator[Stage]:
    """Install an application, and give it an empty database."""
    with ExitStack() as stack:
        (folder / "pools").mkdir()
        export = [sys.executable, "-m", "sqlalchemy_pool_metrics", "export"]
        subprocess.run([*export, str(folder / "agent")], check=True, capture_output=True)
        yield Stage(
            install(name, *requirements),
            folder,
            postgres,
            name,
            stack.enter_context(open_server(postgres, name)),
            stack.enter_context(open_exporter(folder / "pools")),
            stack.enter_context(ExitStack()),
        )
