"""Where the blocking calls of one database run: one at a time, and abandoned when they hang."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from sqlalchemy_pool_exporter.dialects import Driver
from sqlalchemy_pool_exporter.threads import DaemonThread

T = TypeVar("T")

# A call that hangs for good costs a thread and a connection; a database may have this many.
MAX_ABANDONED = 3
# How long they may all hang until one more call is tried, twice as long each time: the server may
# answer new connections by now, while those that it forgot stay silent for good.
RETRY_SECONDS = 10.0
MAX_RETRY_SECONDS = 900.0
# How long a call may take to notice that it was cancelled or lost its connection.
GRACE_SECONDS = 0.2


class TooManyAbandonedCallsError(TimeoutError):
    """No call is started because too many abandoned ones still hang."""


class Executor(ABC):
    """Runs calls one at a time; for the event loop's thread only, except for `wait`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._abandoned_at = 0.0

    @property
    @abstractmethod
    def abandoned(self) -> int:
        """The number of abandoned calls that have not ended yet."""

    def start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Start a call. Raises TooManyAbandonedCallsError."""
        if self.abandoned >= MAX_ABANDONED and not self._may_retry():
            raise TooManyAbandonedCallsError(
                f"{self.abandoned} earlier attempts still hang; waiting for one of them to end"
            )
        future = self._start(call)
        # Its caller may be cancelled before it ends.
        future.add_done_callback(mark_retrieved)
        return future

    def _may_retry(self) -> bool:
        excess = self.abandoned - MAX_ABANDONED
        pause: float = min(RETRY_SECONDS * 2**excess, MAX_RETRY_SECONDS)
        return time.monotonic() >= self._abandoned_at + pause

    @abstractmethod
    def _start(self, call: Callable[[], T]) -> asyncio.Future[T]: ...

    @abstractmethod
    def wait(self, future: Future[T], timeout_seconds: float) -> T:
        """Return or raise the future's outcome, or TimeoutError; for the running call."""

    @abstractmethod
    async def cancel(self, future: asyncio.Future[Any], cleanup: Callable[[], None]) -> None:
        """Cancel a call, and abandon it if it has not ended after GRACE_SECONDS.

        The thread of an abandoned call runs `cleanup` when the call ends after all.
        """

    @abstractmethod
    def close(self) -> None:
        """Take no more calls, and end after the running one."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} abandoned={self.abandoned}>"


class AsyncExecutor(Executor):
    """For async drivers: runs each call in a greenlet, in a task of the event loop."""

    def __init__(self, name: str, driver: Driver) -> None:
        super().__init__(name)
        self._driver = driver
        self._abandoned: set[asyncio.Future[Any]] = set()

    @property
    def abandoned(self) -> int:
        """The number of tasks that were cancelled and have not ended yet."""
        return len(self._abandoned)

    def _start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.create_task(greenlet_spawn(call), name=self.name)

    def wait(self, future: Future[T], timeout_seconds: float) -> T:
        """Suspend the greenlet until the future is done."""
        outcome: T = await_only(asyncio.wait_for(asyncio.wrap_future(future), timeout_seconds))
        return outcome

    async def cancel(self, future: asyncio.Future[Any], cleanup: Callable[[], None]) -> None:  # noqa: ARG002 - there is no thread
        """Cancel the call's task; SQLAlchemy's greenlet passes that on to the driver."""
        await self._driver.before_cancel(future)
        future.cancel()
        self._abandoned.add(future)
        self._abandoned_at = time.monotonic()
        future.add_done_callback(self._abandoned.discard)
        await asyncio.wait({future}, timeout=GRACE_SECONDS)

    def close(self) -> None:
        """Do nothing: each call's task ends with the call."""


class ThreadExecutor(Executor):
    """For blocking drivers: runs all calls in one daemon thread, until it is abandoned.

    One thread, because only the thread that opened a connection of SQLite may use it, and
    SingletonThreadPool keeps one connection per thread.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._thread: DaemonThread | None = None
        self._abandoned: list[DaemonThread] = []

    @property
    def abandoned(self) -> int:
        """The number of threads that were abandoned and still run."""
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        return len(self._abandoned)

    def _start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        if self._thread is None:
            self._thread = DaemonThread(self.name)
        return asyncio.wrap_future(self._thread.submit(call))

    def wait(self, future: Future[T], timeout_seconds: float) -> T:
        """Block the thread until the future is done."""
        return future.result(timeout_seconds)

    async def cancel(self, future: asyncio.Future[Any], cleanup: Callable[[], None]) -> None:
        """Wait for the call, because threads cannot be cancelled, and abandon it if it hangs."""
        await asyncio.wait({future}, timeout=GRACE_SECONDS)
        if future.done():
            return
        future.cancel()
        if self._thread is not None:
            self._thread.submit(cleanup)
            self._thread.finish()
            self._abandoned.append(self._thread)
            self._abandoned_at = time.monotonic()
            self._thread = None

    def close(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._thread.finish()
            self._thread = None


def mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging the error of a future that is never awaited."""
    if not future.cancelled():
        future.exception()
