"""The customers of the demo's shop: a few at any time, and now and then a rush.

It knows an address, nothing of what stands behind.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Final

from exporter.web.listener import Address

VISITORS: Final = 3
PAUSE_SECONDS: Final = 0.3
QUERY_SECONDS: Final = (0.01, 0.05, 0.02, 0.2, 0.03)
# More than both workers can serve before the wait for a connection is over.
RUSH: Final = 16
RUSH_QUERY_SECONDS: Final = 0.7
RUSH_INTERVAL_SECONDS: Final = 8.0
FIRST_RUSH_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 10.0


class Load:
    """Threads that ask until they are told to stop; while nobody answers they go on asking."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stopping = threading.Event()

    def start(self) -> None:
        for work in (*[self._visit] * VISITORS, self._browse, self._rush):
            start_thread(work)

    def stop(self) -> None:
        """Returns at once: the threads keep nobody from ending."""
        self._stopping.set()

    def _visit(self) -> None:
        for seconds in cycle(QUERY_SECONDS):
            self._ask(f"/orders/{seconds}")
            if self._stopping.wait(PAUSE_SECONDS):
                return

    def _browse(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            self._ask("/articles/")

    def _rush(self) -> None:
        pause = FIRST_RUSH_SECONDS
        while not self._stopping.wait(pause):
            for _ in range(RUSH):
                start_thread(lambda: self._ask(f"/orders/{RUSH_QUERY_SECONDS}"))
            pause = RUSH_INTERVAL_SECONDS

    def _ask(self, path: str) -> None:
        connection = http.client.HTTPConnection(
            self._address.host, self._address.port, timeout=PATIENCE_SECONDS
        )
        with suppress(OSError, http.client.HTTPException):  # a worker has died
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()


def start_thread(work: Callable[[], None]) -> None:
    """Starts a thread that does not hold up the end of the process."""
    threading.Thread(target=work, name="demo-load", daemon=True).start()


@contextmanager
def run_load(address: Address) -> Iterator[None]:
    """Asks for the time of the block."""
    load = Load(address)
    load.start()
    try:
        yield
    finally:
        load.stop()
