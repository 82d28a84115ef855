"""Who holds the connections of real applications, recorded by the injected folder."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from sqlalchemy_pool_exporter.shared_files import SharedFolder
from sqlalchemy_pool_metrics.snapshot import HolderNumbers, merge_holders
from tests.agent.injected_programs import make_folder
from tests.servers.conditions import wait_until
from tests.servers.endpoints import find_free_port
from tests.servers.programs import Program
from tests.workers.run import ROOT, accepts

APPS = "tests.workers.holders"


@contextmanager
def run(folder: Path, *command: str) -> Iterator[Program]:
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
    with Program(words, folder / "log", cwd=ROOT, env=environment) as program:
        yield program


def read_holders(folder: Path) -> dict[str, HolderNumbers]:
    processes = SharedFolder(folder / "pools").read().processes
    found = merge_holders(h for each in processes for pool in each.pools for h in pool.holders)
    return {each.name: each for each in found}


def check_endpoints(folder: Path, port: int, prefix: str, templates: dict[str, str]) -> None:
    """Use each endpoint, and find what it did under its template and nothing else."""
    url = f"http://127.0.0.1:{port}{prefix}"
    for _ in range(3):
        httpx.get(f"{url}/frequent/secret").raise_for_status()
    httpx.get(f"{url}/leak/secret?q=secret").raise_for_status()
    slow = threading.Thread(target=httpx.get, args=(f"{url}/slow/secret",), kwargs={"timeout": 60})
    slow.start()
    check_holders(folder, templates)
    slow.join()


def check_holders(folder: Path, names: dict[str, str]) -> None:
    frequent, slow, leak = names["frequent"], names["slow"], names["leak"]
    wait_until(lambda: read_holders(folder).keys() == {frequent, slow, leak}, "all holders")
    wait_until(lambda: read_holders(folder)[frequent].holds == 3, "the last frequent one")
    before = read_holders(folder)
    (folder / "released").touch()
    wait_until(lambda: read_holders(folder)[slow].connections == 0, "the slow one's return")
    after = read_holders(folder)

    numbers = {name: (each.connections, each.holds) for name, each in before.items()}
    assert numbers == {frequent: (0, 3), slow: (1, 1), leak: (1, 1)}
    assert after[frequent] == before[frequent]
    assert after[leak].held_ns > before[leak].held_ns
    assert after[slow].held_ns > before[slow].held_ns >= 0


def test_flask_under_gunicorns_threads(tmp_path: Path) -> None:
    port = find_free_port()
    options = (f"--bind=127.0.0.1:{port}", "--workers=1", "--threads=4")
    with run(tmp_path, "gunicorn", *options, f"{APPS}.flask_app:app") as program:
        program.wait_until_ready(lambda: accepts(port))
        rules = {name: f"GET /{name}/<order>" for name in ("frequent", "slow", "leak")}
        check_endpoints(tmp_path, port, "", rules)


def test_fastapi_under_uvicorn(tmp_path: Path) -> None:
    port = find_free_port()
    with run(tmp_path, "uvicorn", f"--port={port}", f"{APPS}.fastapi_app:app") as program:
        program.wait_until_ready(lambda: accepts(port))
        templates = {name: f"GET /shop/{name}/{{order}}" for name in ("frequent", "slow", "leak")}
        check_endpoints(tmp_path, port, "/shop", templates)


def test_celerys_prefork_workers(tmp_path: Path) -> None:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--concurrency=2")
    with run(tmp_path, "celery", f"--app={APPS}.celery_app", "worker", *quiet):
        check_holders(tmp_path, {name: f"shop.{name}" for name in ("frequent", "slow", "leak")})
