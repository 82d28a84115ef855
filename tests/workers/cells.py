"""The kinds of application servers: a cell of the matrix for each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.workers.shop.pool import WORKERS

BIN = Path(sys.executable).parent
PYTHON = sys.executable
SHOP = "tests.workers.shop"


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of server; {port} and {folder} are filled into its commands.

    Attributes:
        slots: How many requests it handles at once; None if it is more than its pools can serve.
        early: How many processes use their pool while they load the application.
        respawns: It replaces workers.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    slots: int | None = WORKERS
    early: int = 0
    respawns: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def gunicorn(name: str, *options: str, **cell: object) -> Cell:
    command = (
        PYTHON,
        "-m",
        "gunicorn",
        "--bind=127.0.0.1:{port}",
        f"--workers={WORKERS}",
        f"--config=python:{SHOP}.gunicorn_conf",
        *options,
    )
    if not any(option.startswith(f"{SHOP}.") for option in options):
        command = (*command, f"{SHOP}.wsgi:application")
    return Cell(f"gunicorn-{name}", (command,), **cell)  # type: ignore[arg-type]


def uvicorn(name: str, *options: str, **cell: object) -> Cell:
    command = (PYTHON, "-m", "uvicorn", "--port={port}", f"--workers={WORKERS}", *options)
    return Cell(name, ((*command, f"{SHOP}.asgi:app"),), slots=None, **cell)  # type: ignore[arg-type]


def celery(name: str, *options: str, **cell: object) -> Cell:
    worker = (PYTHON, "-m", "celery", f"--app={SHOP}.celery_tasks", "worker")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING")
    front = (PYTHON, "-m", f"{SHOP}.celery_front", "{port}")
    commands = ((*worker, *quiet, f"--concurrency={WORKERS}", *options), front)
    return Cell(name, commands, **cell)  # type: ignore[arg-type]


def process_pool(method: str, **cell: object) -> Cell:
    command = (PYTHON, "-m", f"{SHOP}.process_pool", method, "{port}")
    return Cell(f"multiprocessing-{method}", (command,), **cell)  # type: ignore[arg-type]


def uwsgi(name: str, *options: str, **cell: object) -> Cell:
    command = (
        str(BIN / "pyuwsgi"),
        "--http-socket=127.0.0.1:{port}",
        f"--module={SHOP}.uwsgi",
        f"--processes={WORKERS}",
        "--master",
        "--die-on-term",
        "--need-app",
        *options,
    )
    return Cell(name, (command,), **cell)  # type: ignore[arg-type]


EARLY = {"SHOP_OPENS_EARLY": "1"}
GEVENT = {"SHOP_GEVENT": "1"}
THREADS = "--threads=4"

CELLS = [
    gunicorn("sync"),
    gunicorn("sync-preload", "--preload", early=1, environment=EARLY),
    gunicorn("sync-max-requests", "--max-requests=12", respawns=True),
    gunicorn("gthread", THREADS, slots=None),
    gunicorn("gthread-preload", THREADS, "--preload", slots=None),
    gunicorn("gthread-max-requests", THREADS, "--max-requests=12", slots=None, respawns=True),
    gunicorn("gevent", "--worker-class=gevent", slots=None),
    gunicorn(
        "gevent-preload", "--worker-class=gevent", "--preload", slots=None, environment=GEVENT
    ),
    gunicorn("pool-class", THREADS, slots=None, environment={"SHOP_SWITCH": "class"}),
    gunicorn("plugin", THREADS, slots=None, environment={"SHOP_SWITCH": "plugin"}),
    uvicorn("uvicorn"),
    celery("celery-prefork"),
    celery("celery-max-tasks", "--max-tasks-per-child=12", respawns=True),
    process_pool("fork", early=1, environment=EARLY),
    process_pool("spawn"),
    process_pool("forkserver"),
    uwsgi("uwsgi-preload"),
    uwsgi("uwsgi-preload-used", early=1, environment=EARLY),
    uwsgi("uwsgi-preload-threads", "--enable-threads", THREADS, slots=None),
    uwsgi("uwsgi-preload-fork-hooks", "--py-call-uwsgi-fork-hooks", early=1, environment=EARLY),
    uwsgi("uwsgi-lazy-apps", "--lazy-apps", early=WORKERS, environment=EARLY),
    uwsgi("uwsgi-lazy-apps-threads", "--lazy-apps", "--enable-threads", THREADS, slots=None),
    uwsgi("uwsgi-max-requests", "--max-requests=12", "--min-worker-lifetime=0", respawns=True),
]
