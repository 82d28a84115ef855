"""Calls that may hang without end, made aside: in a thread each, while the caller waits in time.

Knows neither names nor files: it is handed a call and gives back its outcome.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.util import await_only

from exporter.threads import start_in_daemon

T = TypeVar("T")


class Aside:
    """One database's calls aside; each is known by what it is about.

    A call that still hangs is joined, not made again, so that there is one thread for it however
    often it is waited for. `pending` builds the error that the wait going on now will end with,
    None when there is no wait; each raise needs an error of its own, or they share a traceback.
    Any thread may use it.
    """

    def __init__(self, name: str, *, is_async: bool) -> None:
        self.pending: Callable[[], Exception] | None = None
        self._name = name
        self._is_async = is_async
        self._lock = threading.Lock()
        self._running: dict[str, Future[Any]] = {}

    def make(
        self,
        about: str,
        call: Callable[[], T],
        seconds: float,
        build_error: Callable[[], Exception],
    ) -> T:
        """The call's outcome; raises `build_error()` when there is none after so many seconds.

        Call it in a greenlet for an async driver, else in a thread that may block.
        """
        future = self._join(about, call)
        self.pending = build_error
        try:
            return self._wait(future, max(0, seconds))
        except TimeoutError:
            raise build_error() from None
        finally:
            self.pending = None

    def _wait(self, future: Future[T], seconds: float) -> T:
        if not self._is_async:
            return future.result(seconds)
        outcome: T = await_only(wait(future, seconds))
        return outcome

    def _join(self, about: str, call: Callable[[], T]) -> Future[T]:
        with self._lock:
            future = self._running.get(about)
            if future is None:
                make = partial(self._make, about, call)
                future = self._running[about] = start_in_daemon(make, f"{self._name}: {about}")
        return future

    def _make(self, about: str, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            with self._lock:  # held until the future is among those that run
                del self._running[about]


async def wait(future: Future[T], seconds: float) -> T:
    return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
