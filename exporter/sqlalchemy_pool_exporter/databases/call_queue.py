"""The calls of one database: one at a time, each cut off at its deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sqlalchemy_pool_exporter.databases.connections import ConnectionTracker
from sqlalchemy_pool_exporter.databases.executors import GRACE_SECONDS, Executor
from sqlalchemy_pool_exporter.threads import BackgroundCalls

T = TypeVar("T")

# How long a call may continue after its deadline; drivers have shorter limits of their own, if any.
MAX_DETACHED_SECONDS = 330.0

BuildError = Callable[[], Exception]


class DetachedCall(NamedTuple):
    """A call that continues after its deadline, and the connections that it uses."""

    future: asyncio.Future[Any]
    connections: ConnectionTracker


class CallQueue:
    """Runs calls in an executor; for the event loop's thread only, except for `run_in_background`.

    A call that is cut off ends a few GRACE_SECONDS later at most. One that `may_detach` at its
    deadline keeps its turn instead: its caller gets the error, and the next calls wait until it has
    ended by itself. `deadline` is that of the running call, in seconds of time.monotonic().
    """

    def __init__(self, executor: Executor, may_detach: Callable[[], bool] = lambda: False) -> None:
        self.deadline = 0.0
        self._executor = executor
        self._may_detach = may_detach
        self._background = BackgroundCalls(executor.name)
        # Builds the error of the background call that the running call waits for.
        self._pending_error: BuildError | None = None
        self._turn = asyncio.Lock()
        self._cancellation: asyncio.Future[None] | None = None
        self._detached: DetachedCall | None = None
        self._detached_timer: asyncio.TimerHandle | None = None
        self._cut_off_task: asyncio.Task[None] | None = None

    async def run(
        self,
        call: Callable[[], T],
        connections: ConnectionTracker,
        deadline: float,
        build_error: BuildError,
    ) -> T:
        """Make a call that uses these connections and return its result.

        A call loses its connections at the deadline, by `cancel_current`, or when its caller is
        cancelled. If it still hangs, it is abandoned with them, and the engine gets a new pool.

        Raises:
            Exception: What the call raises, or `build_error()` when it was cut off.
            TooManyAbandonedCallsError: Too many calls hang.
        """
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._turn.acquire()
        except TimeoutError:
            raise self._build_error(build_error) from None
        self.deadline = deadline
        try:
            return await self._run(call, connections, build_error)
        finally:
            if self._detached is None:
                self._turn.release()

    async def _run(
        self, call: Callable[[], T], connections: ConnectionTracker, build_error: BuildError
    ) -> T:
        future = self._executor.start(call)
        try:
            is_cancelled = await self._wait(future)
            if future.done():
                return future.result()
            if not is_cancelled and self._may_detach():
                self._detach(future, connections)
            # Build the error before the call is cut off and the state that it describes changes.
            raise self._build_error(build_error)
        finally:
            if self._detached is None:
                await self._end(future, connections)

    async def _wait(self, future: asyncio.Future[Any]) -> bool:
        """Wait until the call's end or deadline; return whether `cancel_current` was called."""
        self._cancellation = asyncio.get_running_loop().create_future()
        either: set[asyncio.Future[Any]] = {future, self._cancellation}
        timeout = self.deadline - time.monotonic()
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return self._cancellation.done()

    def _build_error(self, build_error: BuildError) -> Exception:
        return (self._pending_error or build_error)()

    def run_in_background(
        self, key: str, call: Callable[[], T], timeout_seconds: float, build_error: BuildError
    ) -> T:
        """Make a blocking call in its own thread; only for the running call.

        A call with the same key that still runs is joined. `build_error` builds the error of a
        timeout, and that of the waiting call if it is cut off: a new one each time, because two
        raises of one error share its traceback.
        """
        future = self._background.start(key, call)
        self._pending_error = build_error
        try:
            return self._executor.wait(future, max(0, timeout_seconds))
        except TimeoutError:
            raise build_error() from None
        finally:
            self._pending_error = None

    def _detach(self, future: asyncio.Future[Any], connections: ConnectionTracker) -> None:
        """Let the call keep its turn and its connections until it ends."""
        self._detached = DetachedCall(future, connections)
        loop = asyncio.get_running_loop()
        self._detached_timer = loop.call_later(MAX_DETACHED_SECONDS, self._cut_off_detached)
        future.add_done_callback(self._end_detached)

    def _cut_off_detached(self) -> None:
        if self._detached is not None:
            self._cut_off_task = asyncio.create_task(self._cut_off(*self._detached))

    def _end_detached(self, _future: asyncio.Future[Any]) -> None:
        if self._detached_timer is not None:
            self._detached_timer.cancel()
        if self._detached is not None:
            self._detached.connections.reset()
        self._detached = None
        self._turn.release()

    def cancel_current(self) -> None:
        """Cut off the call that is running, detached or not."""
        if self._cancellation is not None and not self._cancellation.done():
            self._cancellation.set_result(None)
        self._cut_off_detached()

    async def _end(self, future: asyncio.Future[Any], connections: ConnectionTracker) -> None:
        if not future.done():
            await self._cut_off(future, connections)
        connections.reset()

    async def _cut_off(self, future: asyncio.Future[Any], connections: ConnectionTracker) -> None:
        engine = connections.engine
        if connections.abort():
            await asyncio.wait({future}, timeout=GRACE_SECONDS)
        if future.done():
            return
        # A call that does not end may leave the pool in any state, half disposed of for example.
        pool = engine.pool
        engine.dispose(close=False)
        connections.untrack()
        await self._executor.cancel(future, pool.dispose)

    def close(self) -> None:
        """Let the executor's thread end."""
        self._executor.close()

    def __repr__(self) -> str:
        state = "busy" if self._turn.locked() else "idle"
        return f"<CallQueue {state} abandoned={self._executor.abandoned}>"
