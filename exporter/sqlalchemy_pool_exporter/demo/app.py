"""The processes of the demo's application, gunicorn with two workers, and the load on them."""

import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Final

from sqlalchemy_pool_exporter import describe_install
from sqlalchemy_pool_exporter.server.listener import read_address
from sqlalchemy_pool_exporter.settings.fields import Address

NAME: Final = "demo-shop"
SERVER: Final = "gunicorn"
STOP_SECONDS: Final = 5.0


class DemoAppError(RuntimeError):
    """The application cannot be started; the message says why."""


def check_installed() -> None:
    """Raise DemoAppError if gunicorn or the driver is missing."""
    for package in (SERVER, "psycopg"):
        if importlib.util.find_spec(package) is None:
            raise DemoAppError(f"{package} is not installed: {describe_install('demo')}")


@contextmanager
def run_app(orders: str, articles: str, pools: Path) -> Iterator[int]:
    """Run the application on the URLs of two databases, and load on it; yields its process id.

    Its processes share their metrics in the folder `pools`.
    """
    check_installed()
    environment = {
        "ORDERS_URL": orders,
        "ARTICLES_URL": articles,
        "SQLALCHEMY_POOL_METRICS_DIR": str(pools),
        "SQLALCHEMY_POOL_METRICS_APP": NAME,
        "SQLALCHEMY_POOL_METRICS_HOLDERS": "1",
    }
    # Opened here, so that requests can queue before the workers are ready.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start_server(listener.fileno(), environment)
        try:
            with run_load(read_address(listener)):
                yield process.pid
        finally:
            stop_server(process)


def start_server(descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start gunicorn, which starts workers and replaces those that die."""
    return subprocess.Popen(  # noqa: S603 - our own program, no shell
        [
            *(sys.executable, "-m", SERVER, "sqlalchemy_pool_exporter.demo.shop:build_app()"),
            *("--config", "python:sqlalchemy_pool_exporter.demo.gunicorn_settings"),
            *("--bind", f"fd://{descriptor}"),
        ],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        pass_fds=[descriptor],
        # In a new session, because Ctrl-C in the terminal must not reach the app before us.
        start_new_session=True,
    )


def stop_server(process: subprocess.Popen[bytes]) -> None:
    """End the process and its workers, within a bounded time."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):  # its workers are in its session
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


VISITORS: Final = 3
PAUSE_SECONDS: Final = 0.3
QUERY_SECONDS: Final = (0.01, 0.05, 0.02, 0.2, 0.03)
# More than both workers can serve before the pool's timeout.
RUSH: Final = 16
RUSH_PAYMENT_SECONDS: Final = 0.7
RUSH_INTERVAL_SECONDS: Final = 8.0
FIRST_RUSH_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 10.0


class Load:
    """Threads that send requests until `stop`, even while nothing answers."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the threads."""
        for work in (*[self._visit] * VISITORS, self._browse, self._rush):
            start_thread(work)

    def stop(self) -> None:
        """Let the threads end; returns at once, since they are daemons."""
        self._stopping.set()

    def _visit(self) -> None:
        for seconds in cycle(QUERY_SECONDS):
            self._request(f"/orders/{seconds}")
            if self._stopping.wait(PAUSE_SECONDS):
                return

    def _browse(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            self._request("/articles/")

    def _rush(self) -> None:
        pause = FIRST_RUSH_SECONDS
        while not self._stopping.wait(pause):
            for _ in range(RUSH):
                start_thread(lambda: self._request(f"/payments/{RUSH_PAYMENT_SECONDS}"))
            pause = RUSH_INTERVAL_SECONDS

    def _request(self, path: str) -> None:
        connection = http.client.HTTPConnection(
            self._address.host, self._address.port, timeout=PATIENCE_SECONDS
        )
        with suppress(OSError, http.client.HTTPException):  # a worker has died
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()


def start_thread(work: Callable[[], None]) -> None:
    """Start a thread that does not delay the end of the process."""
    threading.Thread(target=work, name="demo-load", daemon=True).start()


@contextmanager
def run_load(address: Address) -> Iterator[None]:
    """Send requests during the block."""
    load = Load(address)
    load.start()
    try:
        yield
    finally:
        load.stop()
