"""The command `demo`: databases, an application that uses them, and an exporter."""

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Final

from sqlalchemy_pool_exporter.demo.app import DemoAppError, run_app
from sqlalchemy_pool_exporter.demo.postgres import PostgresError
from sqlalchemy_pool_exporter.demo.stage import open_stage
from sqlalchemy_pool_exporter.server.listener import open_listener, read_address
from sqlalchemy_pool_exporter.server.server import serve
from sqlalchemy_pool_exporter.settings.fields import Address, AddressError, parse_address
from sqlalchemy_pool_exporter.settings.settings import PREFIX
from sqlalchemy_pool_exporter.web.app import create_app

logger = logging.getLogger(__name__)


# A demo is for this machine only.
DEFAULT_LISTEN: Final = "127.0.0.1:9723"
LISTEN_VARIABLE: Final = f"{PREFIX}LISTEN"


WELCOME: Final = """\
A PostgreSQL server, a SQLite file and a database that is down on purpose are being probed,
and an app is at work on the first two: gunicorn with two workers, each with its own pools.

  {url}/            the state of all of them
  {url}/metrics     what Prometheus reads
  {url}/health/db   each database, and why one is down

  curl -s {url}/metrics | grep -E '^sqlalchemy_(database_up|pool_checked_out)\\{{'
  curl -s {url}/metrics | grep -E '^sqlalchemy_pool_(processes|checkout_failures_total)\\{{.*"app"'
  curl -s {url}/metrics | grep -E '^sqlalchemy_pool_held_(busy_)?seconds_total\\{{.*"orders"'

Every few seconds more customers come than the workers' pools have connections for: some wait, some
are turned away after a second. The last command shows who holds the connections: mostly the
function that pays, and meanwhile it executes nothing.

Ctrl-C ends it and removes everything.
"""


def run_demo(listen: str | None) -> int:
    """Return the exit status: 1 if the address is taken or something cannot be started."""
    with note_interruption() as interruption:
        try:
            with open_demo_listener(listen or os.environ.get(LISTEN_VARIABLE)) as listener:
                play(listener, interruption)
        except AddressError as error:
            logger.error("%s; choose another one, as in --listen 127.0.0.1:0", error)
            return 1
        except (PostgresError, DemoAppError, OSError) as error:
            logger.error("the demo cannot start: %s", error)
            return 1
    return 0


def open_demo_listener(listen: str | None) -> socket.socket:
    """Return a socket that listens on the address, or on the default one.

    If the port of the default one is in use, take another port and log it.

    Raises:
        AddressError: The given address cannot be listened on.
    """
    if listen:
        return open_listener(parse_address(listen))
    default = parse_address(DEFAULT_LISTEN)
    try:
        return open_listener(default)
    except AddressError as error:
        if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE:
            raise
    listener = open_listener(replace(default, port=0))
    logger.warning("%s is in use; the demo is on %s instead", default, read_address(listener))
    return listener


class Interruption:
    """Whether a signal has asked the demo to end."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.requested = True
        if number == signal.SIGHUP:  # the terminal is closed; uvicorn handles the other two
            signal.raise_signal(signal.SIGTERM)


def play(listener: socket.socket, interruption: Interruption) -> None:
    """Serve until a signal arrives, then end everything."""
    address = read_address(listener)
    with open_stage() as stage, run_app(stage.orders, stage.articles, stage.pools):
        web = create_app(stage.build_settings(str(address)))
        if not interruption.requested:
            sys.stdout.write(WELCOME.format(url=build_url(address)))
            sys.stdout.flush()
            serve(web, listener)


def build_url(address: Address) -> str:
    """Return the URL of the address for a browser on this machine."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    host = here.get(address.host, address.host)
    return f"http://{Address(host, address.port)}"


@contextmanager
def note_interruption() -> Iterator[Interruption]:
    """Record SIGINT, SIGTERM and SIGHUP during the block; in the main thread only."""
    interruption = Interruption()
    before = {
        number: signal.signal(number, interruption.request)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # which nohup sets
    }
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
