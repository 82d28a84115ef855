"""The processes of the demo's application: gunicorn with two workers, and the load on them.

It must not know what the application does.
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from exporter.demo.load import run_load
from exporter.web.listener import read_address

NAME: Final = "demo-shop"
SERVER: Final = "gunicorn"
STOP_SECONDS: Final = 5.0


class DemoAppError(RuntimeError):
    """The application cannot be started; the message says why."""


def check_installed() -> None:
    """Raises DemoAppError when gunicorn or the driver is missing."""
    for package in (SERVER, "psycopg"):
        if importlib.util.find_spec(package) is None:
            raise DemoAppError(
                f"{package} is not installed: pip install 'sqlalchemy-pool-exporter[demo]'"
            )


@contextmanager
def run_app(orders: str, articles: str, pools: Path) -> Iterator[int]:
    """Runs for the time of the block, on the URLs of two databases; yields its process id.

    Its processes share what their pools do in the folder `pools`.
    """
    check_installed()
    environment = {
        "ORDERS_URL": orders,
        "ARTICLES_URL": articles,
        "SQLALCHEMY_POOL_METRICS_DIR": str(pools),
        "SQLALCHEMY_POOL_METRICS_APP": NAME,
    }
    # Opened here, so that customers may come before the workers are ready.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start_server(listener.fileno(), environment)
        try:
            with run_load(read_address(listener)):
                yield process.pid
        finally:
            stop_server(process)


def start_server(descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Returns gunicorn's process, which starts workers and replaces those that die."""
    return subprocess.Popen(  # noqa: S603 - our own program, no shell
        [
            *(sys.executable, "-m", SERVER, "exporter.demo.shop:build_app()"),
            *("--config", "python:exporter.demo.gunicorn_settings"),
            *("--bind", f"fd://{descriptor}"),
        ],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        pass_fds=[descriptor],
        # A session of its own: Ctrl-C in the terminal must not reach the app before us.
        start_new_session=True,
    )


def stop_server(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and its workers, bounded in time."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):  # its workers are in its session
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
