"""Lanes: where a database's blocking calls run, one at a time, and can be given up on.

A lane knows nothing about databases: it is handed a call and gives back a future.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from sqlalchemy.util import greenlet_spawn

T = TypeVar("T")

# A call that hangs for good costs a thread and a connection. So many are put up with per database.
GIVEN_UP_LIMIT = 3
# How long what was cancelled or cut off may take to notice.
GRACE_SECONDS = 0.2
MOMENT_SECONDS = 0.01
# Turns of the loop from a connected socket to a driver that waits for the server's answer.
MOMENT_TURNS = 6


class TooManyAbandonedCallsError(TimeoutError):
    """No call is started because too many earlier ones, long given up on, still hang."""


class Executor(ABC):
    """Runs calls one at a time; to be used from the event loop's thread only."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def given_up(self) -> int:
        """How many calls were given up on and have not ended yet."""

    def start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Start a call. Raises LaneBlockedError when too many earlier ones still hang."""
        if self.given_up >= GIVEN_UP_LIMIT:
            raise TooManyAbandonedCallsError(
                f"{self.given_up} earlier attempts still hang; waiting for one of them to end"
            )
        return self._start(call)

    @abstractmethod
    def _start(self, call: Callable[[], T]) -> asyncio.Future[T]: ...

    @abstractmethod
    async def end(self, future: asyncio.Future[Any], then: Callable[[], None]) -> None:
        """Make a call end, or give up on it after GRACE_SECONDS.

        The thread of a call given up on runs `then` when the call ends after all.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the lane end with the call it is running; it takes no other."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} given_up={self.given_up}>"


class AsyncExecutor(Executor):
    """For async drivers: each call runs in a greenlet, in a task of the event loop."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._hanging: set[asyncio.Future[Any]] = set()

    @property
    def given_up(self) -> int:
        return len(self._hanging)

    def _start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.create_task(greenlet_spawn(call), name=self.name)

    async def end(self, future: asyncio.Future[Any], then: Callable[[], None]) -> None:  # noqa: ARG002 - there is no thread
        # asyncpg forgets a future of its own when it is cancelled in the moment in which its socket
        # has connected, and asyncio complains about that: let the moment pass, also in a loop that
        # is so late that the moment begins together with the end of the wait.
        await asyncio.wait({future}, timeout=MOMENT_SECONDS)
        for _ in range(MOMENT_TURNS):
            await asyncio.sleep(0)
        future.cancel()
        self._hanging.add(future)
        future.add_done_callback(self._forget)
        await asyncio.wait({future}, timeout=GRACE_SECONDS)

    def close(self) -> None:
        """Nothing of it outlives a call."""

    def _forget(self, future: asyncio.Future[Any]) -> None:
        self._hanging.discard(future)
        retrieve(future)


class ThreadExecutor(Executor):
    """For blocking calls: one daemon thread, the same for every call.

    SQLite's connections may only be used by the thread that opened them, and SingletonThreadPool
    keeps one connection per thread. After giving up the next call gets a new thread.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._worker: Worker | None = None
        self._hanging: list[Worker] = []

    @property
    def given_up(self) -> int:
        self._hanging = [worker for worker in self._hanging if worker.is_alive()]
        return len(self._hanging)

    def _start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        if self._worker is None:
            self._worker = Worker(self.name)
        return self._worker.start(call)

    async def end(self, future: asyncio.Future[Any], then: Callable[[], None]) -> None:
        await asyncio.wait({future}, timeout=GRACE_SECONDS)
        if future.done():
            retrieve(future)
        else:
            self.give_up(future, then)

    def give_up(self, future: asyncio.Future[Any], then: Callable[[], None]) -> None:
        """Do as `end` does, without waiting at all."""
        future.cancel()
        if self._worker is not None:
            self._worker.finish(then)
            self._hanging.append(self._worker)
            self._worker = None

    def close(self) -> None:
        if self._worker is not None:
            self._worker.finish()
            self._worker = None


class Worker:
    """A daemon thread and its queue of calls."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.put(lambda: report(call, future, loop))
        return future

    def finish(self, last: Callable[[], None] | None = None) -> None:
        """End the thread after what it is doing now, and then `last`."""
        if last is not None:
            self._calls.put(last)
        self._calls.put(None)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        while call := self._calls.get():
            call()


def report(
    call: Callable[[], T], future: asyncio.Future[T], loop: asyncio.AbstractEventLoop
) -> None:
    """Make the call and hand its outcome to the future, whose loop runs in another thread."""
    outcome: T | None = None
    error: BaseException | None = None
    try:
        outcome = call()
    except BaseException as raised:
        error = raised
    with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
        loop.call_soon_threadsafe(settle, future, outcome, error)
    del error  # its traceback refers to this frame


def settle(future: asyncio.Future[Any], outcome: object, error: BaseException | None) -> None:
    """Resolve the future unless it was given up on."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(outcome)


def retrieve(future: asyncio.Future[Any]) -> None:
    """See a future's error, so that asyncio does not log it as never retrieved."""
    if not future.cancelled():
        future.exception()
