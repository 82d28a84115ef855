"""Calls in daemon threads: one that hangs holds up neither the event loop nor the process's end.

Knows nothing of what is called; the executor of asyncio is not used because Python joins it.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

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

    async def run(self, within_seconds: float) -> T:
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
