"""Calls in daemon threads: one that hangs holds up neither the event loop nor the process's end.

Knows nothing of what is called; the executor of asyncio is not used because Python joins it.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

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


def settle(call: Callable[[], T], future: Future[T]) -> None:
    """Makes the call and hands its outcome to the future."""
    try:
        outcome = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(outcome)
