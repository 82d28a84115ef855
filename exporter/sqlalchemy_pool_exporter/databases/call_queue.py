"""A database's calls: one at a time, each with a deadline at which it is cut off.

Knows lanes and connections; not what a call does. For the event loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from sqlalchemy_pool_exporter.databases.connections import ConnectionTracker
from sqlalchemy_pool_exporter.databases.executors import GRACE_SECONDS, Executor, retrieve

T = TypeVar("T")


class DetachedCall(NamedTuple):
    """A call that goes on after its time, and the connections that it uses."""

    future: asyncio.Future[Any]
    connections: ConnectionTracker


class CallQueue:
    """Makes calls in a lane; one that is cut off is over a few GRACE_SECONDS later at most.

    One that `may_detach`, when its time is over, keeps its turn: its caller gets the error, and the
    next ones wait until it has ended by itself.
    """

    def __init__(self, lane: Executor, may_detach: Callable[[], bool] = lambda: False) -> None:
        self._lane = lane
        self._may_go_on = may_detach
        self._turn = asyncio.Lock()
        self._interruption: asyncio.Future[None] | None = None
        self._left: DetachedCall | None = None
        self._ending: asyncio.Task[None] | None = None

    async def make(
        self,
        call: Callable[[], T],
        connections: ConnectionTracker,
        ends_at: float,
        build_error: Callable[[], Exception],
    ) -> T:
        """Make a call that uses these connections until `ends_at` (time.monotonic()).

        A call that is not over by then, or is interrupted, or whose caller is cancelled, loses its
        connections; one that goes on even so keeps them, and the engine gets a new pool. Raises
        what the call does, `build_error()` when it was cut off, and LaneBlockedError when too many
        calls have not ended.
        """
        async with self._take_turn(ends_at, build_error) as turn:
            future = self._lane.start(call)
            try:
                is_interrupted = await self._wait(future, ends_at)
                if future.done():
                    return future.result()
                if not is_interrupted and self._may_go_on():
                    turn.pop_all()
                    self._leave(future, connections)
                raise build_error()  # now, while it can be seen what the call waits for
            finally:
                if self._left is None:
                    await self._end(future, connections)

    @asynccontextmanager
    async def _take_turn(
        self, ends_at: float, build_error: Callable[[], Exception]
    ) -> AsyncIterator[ExitStack]:
        try:
            async with asyncio.timeout(ends_at - time.monotonic()):
                await self._turn.acquire()
        except TimeoutError:
            raise build_error() from None
        with ExitStack() as turn:
            turn.callback(self._turn.release)
            yield turn

    def _leave(self, future: asyncio.Future[Any], connections: ConnectionTracker) -> None:
        """Let the call go on, and let others have their turn when it has ended."""
        self._left = DetachedCall(future, connections)
        future.add_done_callback(self._end_left)

    def _end_left(self, future: asyncio.Future[Any]) -> None:
        retrieve(future)
        if self._left is not None:
            self._left.connections.settle()
        self._left = None
        self._turn.release()

    async def _wait(self, future: asyncio.Future[Any], ends_at: float) -> bool:
        """Wait for the call's end, no longer than it may take; returns whether interrupted."""
        self._interruption = asyncio.get_running_loop().create_future()
        either: set[asyncio.Future[Any]] = {future, self._interruption}
        timeout = ends_at - time.monotonic()
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return self._interruption.done()

    def interrupt(self) -> None:
        """Cut off the call that is being made, or goes on, if there is one."""
        if self._interruption is not None and not self._interruption.done():
            self._interruption.set_result(None)
        if self._left is not None:
            self._ending = asyncio.create_task(self._cut_off(*self._left))

    async def _end(self, future: asyncio.Future[Any], connections: ConnectionTracker) -> None:
        if not future.done():
            await self._cut_off(future, connections)
        if future.done():
            retrieve(future)  # its caller may have been cancelled at the same time
        connections.settle()

    async def _cut_off(self, future: asyncio.Future[Any], connections: ConnectionTracker) -> None:
        engine = connections.engine
        if connections.abort():
            await asyncio.wait({future}, timeout=GRACE_SECONDS)
        if future.done():
            return
        # Whoever does not end by itself may leave the pool in any state, say half disposed of.
        pool = engine.pool
        engine.dispose(close=False)
        connections.forget()
        await self._lane.end(future, pool.dispose)

    def close(self) -> None:
        self._lane.close()

    def __repr__(self) -> str:
        state = "busy" if self._turn.locked() else "idle"
        return f"<CallQueue {state} given_up={self._lane.given_up}>"
