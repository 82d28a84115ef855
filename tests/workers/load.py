"""The load generator, which counts its requests and their answers."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeAlias

import httpx

PATIENCE = 60.0
CLIENTS = 24
Answer: TypeAlias = "int | httpx.TransportError"


class Load:
    """Sends many requests at once and counts the answers; for one thread.

    `losses` are requests without an answer, because their process was killed.
    """

    def __init__(self, url: str) -> None:
        # A connection for each request: one that is kept binds its client to one worker.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=url, limits=limits, timeout=PATIENCE)
        self._clients = ThreadPoolExecutor(CLIENTS)
        self._at_gate: list[Future[Answer]] = []
        self.sold = self.timed_out = 0
        self.losses: list[httpx.TransportError] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clients.shutdown(cancel_futures=True)
        self._client.close()

    def sell(self, number: int) -> None:
        """Send so many short requests at once and wait for their answers."""
        for future in [self._clients.submit(self._ask, "/") for _ in range(number)]:
            self._count(future.result(PATIENCE))

    def begin_waiting(self, number: int) -> None:
        """Send so many requests that are answered when the gate opens."""
        self._at_gate += [self._clients.submit(self._ask, "/gate") for _ in range(number)]

    @property
    def waiting(self) -> int:
        """Return the number of requests that wait at the gate, after counting the answered ones."""
        for future in [future for future in self._at_gate if future.done()]:
            self._at_gate.remove(future)
            self._count(future.result())
        return len(self._at_gate)

    def _ask(self, path: str) -> Answer:
        try:
            return self._client.get(path).status_code
        except httpx.TransportError as error:
            return error

    def _count(self, status: Answer) -> None:
        if status == 200:
            self.sold += 1
        elif status == 503:
            self.timed_out += 1
        elif isinstance(status, httpx.TransportError):
            self.losses.append(status)
        else:
            raise AssertionError(f"the shop answered with status {status}")
