"""Calls in daemon threads: one that hangs holds up neither the event loop nor the process's end.

Knows nothing of what is called; the executor of asyncio is not used because Python joins it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy.util import await_only

T = TypeVar("T")


def start_in_daemon(call: Callable[[], T], name: str) -> Future[T]:
    """Starts a call in a thread of its own; those who wait for the future cannot cancel it."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    threading.Thread(target=settle, args=(call, future), name=name, daemon=True).start()
    return future


async def call_in_daemon(call: Callable[[], T], name: str) -> T:
    """Returns what a blocking call does, or raises what it does, while the event loop turns."""
    return await asyncio.wrap_future(start_in_daemon(call, name))


class SharedCall(Generic[T]):
    """A blocking call, made by one thread at a time: one that hangs is joined, not left behind."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self._call = call
        self._name = name
        self._running: Future[T] | None = None

    async def run(self, within_seconds: float | None) -> T:
        """Returns what the call does, or raises what it does. TimeoutError leaves it running."""
        if self._running is None or self._running.done():
            self._running = start_in_daemon(self._call, self._name)
        async with asyncio.timeout(within_seconds):
            return await asyncio.wrap_future(self._running)


def settle(call: Callable[[], T], future: Future[T]) -> None:
    """Makes the call and hands its outcome to the future."""
    try:
        outcome = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(outcome)


class BackgroundCalls:
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
