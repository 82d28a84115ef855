"""Who holds the connections of real applications, recorded by the injected folder.

Five endpoints or tasks use connections in five ways, and the metrics tell which is which.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.agent.injected_programs import make_folder
from tests.servers.conditions import wait_until
from tests.servers.endpoints import find_free_port
from tests.servers.programs import Program
from tests.workers.run import ROOT, accepts
from tests.workers.shown import Exporter, open_exporter

APPS = "tests.workers.holders"
ORDERS = ("frequent", "frequent", "frequent", "leak", "drop", "call", "lock")
MUCH = 10
LEAK_THRESHOLD = "100ms"


@dataclass
class Stage:
    """A running application, its slow database, and an exporter that reads its pools."""

    folder: Path
    database: sqlite3.Connection
    exporter: Exporter

    def release(self) -> None:
        """Let the other service answer, and the database execute the statement."""
        (self.folder / "released").touch()
        self.database.rollback()


@contextmanager
def run(folder: Path, *command: str, port: int | None = None) -> Iterator[Stage]:
    """Run an application while the database is locked."""
    (folder / "pools").mkdir()
    injected = make_folder(folder / "agent")
    environment = {
        **os.environ,
        "PYTHONPATH": str(injected),
        "SHOP_FOLDER": str(folder),
        "SQLALCHEMY_POOL_METRICS_DIR": str(folder / "pools"),
        "SQLALCHEMY_POOL_METRICS_HOLDERS": "1",
    }
    words = [sys.executable, "-m", *command]
    with (
        closing(sqlite3.connect(folder / "shop.db")) as database,
        open_exporter(folder / "pools", leak_threshold=LEAK_THRESHOLD) as exporter,
    ):
        database.execute("BEGIN IMMEDIATE")
        with Program(words, folder / "log", cwd=ROOT, env=environment) as program:
            if port:
                program.wait_until_ready(lambda: accepts(port))
            yield Stage(folder, database, exporter)


def check_endpoints(stage: Stage, port: int, names: dict[str, str]) -> None:
    """Send requests with values that must not be in a holder."""
    with ThreadPoolExecutor() as clients:
        answers = [
            clients.submit(httpx.get, build_url(port, names[order]), timeout=60) for order in ORDERS
        ]
        try:
            check_holders(stage, names)
        finally:
            stage.release()
        for answer in answers:
            answer.result().raise_for_status()


def build_url(port: int, name: str) -> str:
    path = re.sub(r"[<{]order[>}]", "secret", name.removeprefix("GET "))
    return f"http://127.0.0.1:{port}{path}?q=secret"


def check_holders(stage: Stage, names: dict[str, str]) -> None:
    """Check that each way to use a connection shows under its name, and no other name."""
    read = stage.exporter.read_holders
    wait_until(lambda: read().keys() == set(names.values()), "all holders")
    wait_until(lambda: is_frequent(read()[names["frequent"]], read()[names["call"]]), "holds")
    wait_until(lambda: is_held_idle(read()[names["call"]]), "the one that sits on its connection")
    wait_until(lambda: is_busy(read()[names["lock"]]), "the one whose database is slow")
    held = mark(names, "leak", "call", "lock")
    wait_until(lambda: count(read(), "held_connections") == held, "the others to return theirs")
    stage.release()
    leaked, dropped = mark(names, "leak"), mark(names, "drop")
    wait_until(lambda: count(read(), "overdue_connections") == leaked, "one leak to be left")
    assert count(read(), "leaks_total") == dropped
    check_leak(stage, names["leak"])


def check_leak(stage: Stage, name: str) -> None:
    (pool,) = stage.exporter.read_status()["app"]["pools"]
    (hold,) = pool["oldest_overdue"]
    assert (hold["holder"], hold["function"]) == (name, "leak")
    assert hold["file"] == "tests/workers/holders/work.py"
    assert [*(stage.folder / "pools").glob(f"*-{hold['process']}-*.pool")]


def count(holders: dict[str, dict[str, float]], family: str) -> dict[str, float]:
    return {name: numbers[family] for name, numbers in holders.items()}


def mark(names: dict[str, str], *chosen: str) -> dict[str, float]:
    return {name: int(key in chosen) for key, name in names.items()}


def is_frequent(holder: dict[str, float], other: dict[str, float]) -> bool:
    means = [each["held_seconds_total"] / each["holds_total"] for each in (holder, other)]
    return holder["holds_total"] == 3 and means[0] * MUCH < means[1]


def is_held_idle(holder: dict[str, float]) -> bool:
    return holder["held_seconds_total"] > MUCH * holder["held_busy_seconds_total"]


def is_busy(holder: dict[str, float]) -> bool:
    idle = holder["held_seconds_total"] - holder["held_busy_seconds_total"]
    return holder["held_busy_seconds_total"] > MUCH * idle


def test_flask_under_gunicorns_threads(tmp_path: Path) -> None:
    port = find_free_port()
    options = (f"--bind=127.0.0.1:{port}", "--workers=1", "--threads=4")
    with run(tmp_path, "gunicorn", *options, f"{APPS}.flask_app:app", port=port) as stage:
        check_endpoints(stage, port, {name: f"GET /{name}/<order>" for name in ORDERS})


def test_fastapi_under_uvicorn(tmp_path: Path) -> None:
    port = find_free_port()
    names = {name: f"GET /shop/{name}/{{order}}" for name in ORDERS}
    names["lock"] = "GET /reports/lock/{order}"
    with run(tmp_path, "uvicorn", f"--port={port}", f"{APPS}.fastapi_app:app", port=port) as stage:
        check_endpoints(stage, port, names)


def test_celerys_prefork_workers(tmp_path: Path) -> None:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--concurrency=3")
    with run(tmp_path, "celery", f"--app={APPS}.celery_app", "worker", *quiet) as stage:
        check_holders(stage, {name: f"shop.{name}" for name in ORDERS})
