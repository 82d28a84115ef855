"""A running cell: its processes, the load on them, the database and the exporter."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port
from tests.servers.programs import Program
from tests.workers.cells import Cell
from tests.workers.load import Load
from tests.workers.server import Server, open_server
from tests.workers.shown import Exporter, open_exporter

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Run:
    cell: Cell
    programs: ExitStack
    load: Load
    server: Server
    exporter: Exporter

    @contextmanager
    def hold(self, number: int) -> Iterator[int]:
        """Send so many requests to the gate; yields how many of them hold a connection there."""
        with self.server.close_gate():
            self.load.begin_waiting(number)
            wait_until(
                lambda: self.server.count_held() == self.load.waiting,
                f"{number} requests to hold a connection or to be turned away",
            )
            yield self.load.waiting
        wait_until(lambda: self.load.waiting == 0, "the gate to be passed")

    def stop(self) -> None:
        """End the programs and wait until the server has noticed."""
        self.programs.close()
        wait_until(lambda: self.server.count() == 0, "the last connection to end")


@contextmanager
def start(cell: Cell, postgres: EmbeddedPostgres, folder: Path) -> Iterator[Run]:
    with ExitStack() as stack:
        server = stack.enter_context(open_server(postgres, cell.name))
        exporter = stack.enter_context(open_exporter(folder / "pools"))
        port = find_free_port()
        load = stack.enter_context(Load(f"http://127.0.0.1:{port}"))
        programs = stack.enter_context(ExitStack())
        start_programs(cell, programs, build_environment(cell, server, folder), folder, port)
        wait_until(lambda: exporter.read().checkouts == cell.early, "the shop to open")
        yield Run(cell, programs, load, server, exporter)


def build_environment(cell: Cell, server: Server, folder: Path) -> dict[str, str]:
    for name in ("pools", "shop"):
        (folder / name).mkdir()
    return {
        **os.environ,
        "SHOP_URL": server.url,
        "SHOP_FOLDER": str(folder / "shop"),
        "SQLALCHEMY_POOL_METRICS_DIR": str(folder / "pools"),
        "SQLALCHEMY_POOL_METRICS_APP": cell.name,
        **cell.environment,
    }


def start_programs(
    cell: Cell, programs: ExitStack, environment: dict[str, str], folder: Path, port: int
) -> None:
    for number, command in enumerate(cell.commands):
        words = [word.format(port=port) for word in command]
        program = Program(words, folder / f"{number}.log", cwd=ROOT, env=environment)
        programs.enter_context(program)
    program.wait_until_ready(lambda: accepts(port))


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
