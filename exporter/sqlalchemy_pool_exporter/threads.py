"""Blocking calls in daemon threads, so that one that hangs delays neither event loop nor exit.

Python waits at its exit for the threads of asyncio's own executor, but not for daemon threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonThread:
    """A thread that runs calls one after the other, in the order in which they were submitted."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call and return its future. Cancelling that does not cancel the call."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._calls.put(partial(resolve, call, future))
        return future

    def finish(self) -> None:
        """End the thread after the calls that were submitted."""
        self._calls.put(None)

    def is_alive(self) -> bool:
        """Return whether the thread still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while call := self._calls.get():
            call()
            del call  # or a waiting thread would keep the last outcome alive


def resolve(call: Callable[[], T], future: Future[T]) -> None:
    """Make the call and set its outcome on the future."""
    try:
        outcome = call()
    except BaseException as error:
        future.set_exception(error)
        del future  # the error's traceback holds this frame, which would hold the error again
    else:
        future.set_result(outcome)


def start_in_daemon_thread(call: Callable[[], T], name: str) -> Future[T]:
    """Start a call in its own thread."""
    thread = DaemonThread(name)
    future = thread.submit(call)
    thread.finish()
    return future


async def run_in_daemon_thread(call: Callable[[], T], name: str) -> T:
    """Make a blocking call and return its result, without blocking the event loop."""
    return await asyncio.wrap_future(start_in_daemon_thread(call, name))


class BackgroundCalls:
    """Makes calls by key, at most one per key at a time; for any thread.

    A call that still runs is joined, not made again: one that hangs costs one thread, however often
    it is started.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._running: dict[str, Future[Any]] = {}

    def start(self, key: str, call: Callable[[], T]) -> Future[T]:
        """Return the future of the running call with this key; without one, start this call."""
        with self._lock:
            future = self._running.get(key)
            if future is None:
                run = partial(self._run, key, call)
                future = self._running[key] = start_in_daemon_thread(run, f"{self._name}: {key}")
        return future

    async def run(self, key: str, call: Callable[[], T], timeout_seconds: float | None) -> T:
        """Return the call's result. After a TimeoutError it continues in its thread."""
        async with asyncio.timeout(timeout_seconds):
            return await asyncio.wrap_future(self.start(key, call))

    def _run(self, key: str, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            with self._lock:  # waits until `start` has put the future there
                del self._running[key]
