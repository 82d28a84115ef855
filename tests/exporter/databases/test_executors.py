from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from sqlalchemy.util import await_only

from sqlalchemy_pool_exporter.databases.executors import (
    GIVEN_UP_LIMIT,
    MOMENT_SECONDS,
    AsyncExecutor,
    Executor,
    ThreadExecutor,
    TooManyAbandonedCallsError,
)
from tests.exporter.open_databases import PATIENCE
from tests.exporter.waiting import wait_for
from tests.servers.endpoints import LOCALHOST

pytestmark = pytest.mark.anyio


def do_nothing() -> None:
    pass


async def give_up(lane: Executor, hang: Callable[[], None]) -> None:
    future = lane.start(hang)
    await asyncio.sleep(0)  # a task that has not run yet would end without hanging
    await lane.end(future, do_nothing)


class Hang:
    """A call that hangs until it is released, in a way that giving up does not end."""

    def __init__(self) -> None:
        self._released = threading.Event()

    def in_thread(self) -> None:
        self._released.wait()

    def in_loop(self) -> None:
        await_only(self._wait())

    async def _wait(self) -> None:
        while not self._released.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    def release(self) -> None:
        self._released.set()


@pytest.fixture(params=["loop", "thread"])
def lane(request: pytest.FixtureRequest) -> Executor:
    return AsyncExecutor("shop") if request.param == "loop" else ThreadExecutor("shop")


@pytest.fixture
async def hang(lane: Executor) -> AsyncIterator[Callable[[], None]]:
    hang = Hang()
    yield hang.in_loop if isinstance(lane, AsyncExecutor) else hang.in_thread
    hang.release()
    await wait_for(lambda: lane.given_up == 0)
    lane.close()


async def test_a_call_gives_back_its_outcome(lane: Executor) -> None:
    assert await lane.start(lambda: 6 * 7) == 42
    lane.close()


async def test_a_call_gives_back_its_error(lane: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        await lane.start(lambda: 1 / 0)
    assert await lane.start(lambda: "the next one works") == "the next one works"
    lane.close()


async def test_after_giving_up_the_next_call_runs(lane: Executor, hang: Callable[[], None]) -> None:
    await give_up(lane, hang)
    assert await lane.start(lambda: "done") == "done"
    assert repr(lane) == f"<{type(lane).__name__} 'shop' given_up=1>"


async def test_too_many_hanging_calls_block_the_lane_until_one_ends(
    lane: Executor, hang: Callable[[], None]
) -> None:
    for _ in range(GIVEN_UP_LIMIT):
        await give_up(lane, hang)
    with pytest.raises(TooManyAbandonedCallsError, match="3 earlier attempts still hang"):
        lane.start(do_nothing)
    hang.__self__.release()  # type: ignore[attr-defined]
    await wait_for(lambda: lane.given_up == 0)
    assert await lane.start(lambda: "open again") == "open again"


async def test_the_error_of_an_ended_call_is_nobodys_business(lane: Executor) -> None:
    started, release = threading.Event(), threading.Event()

    def fail_late() -> None:
        started.set()
        if isinstance(lane, ThreadExecutor):
            release.wait()
        raise ValueError("too late")

    future = lane.start(fail_late)
    await wait_for(started.is_set)
    release.set()
    await lane.end(future, do_nothing)
    await wait_for(lambda: lane.given_up == 0)


async def test_every_call_of_a_thread_lane_runs_in_one_thread() -> None:
    lane = ThreadExecutor("shop")
    threads = {await lane.start(threading.get_ident) for _ in range(5)}
    lane.close()
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_the_thread_given_up_on_cleans_up_when_its_call_ends() -> None:
    lane, release, cleaned_by = ThreadExecutor("shop"), threading.Event(), list[str]()
    future = lane.start(release.wait)
    lane.give_up(future, lambda: cleaned_by.append(threading.current_thread().name))
    assert cleaned_by == []
    release.set()
    await wait_for(lambda: cleaned_by == ["shop"])
    await wait_for(lambda: lane.given_up == 0)


async def test_a_closed_lane_leaves_no_thread() -> None:
    lane = ThreadExecutor("a name of its own")
    await lane.start(do_nothing)
    lane.close()
    await wait_for(lambda: lane.name not in {thread.name for thread in threading.enumerate()})


def test_a_call_that_ends_after_its_loop_was_closed_goes_unheard() -> None:
    release = threading.Event()

    async def leave() -> ThreadExecutor:
        lane = ThreadExecutor("shop")
        lane.give_up(lane.start(release.wait), do_nothing)
        return lane

    lane = asyncio.run(leave())
    release.set()
    asyncio.run(wait_for(lambda: lane.given_up == 0))


async def test_a_late_loop_makes_no_driver_forget_a_future(silent_port: int) -> None:
    """As when a busy machine lets the moment of connecting and its own end come in one turn."""
    loop = asyncio.get_running_loop()
    forgotten: list[object] = []
    loop.set_exception_handler(lambda _, context: forgotten.append(context))
    lane = AsyncExecutor("shop")
    for turns in range(50):
        future = lane.start(
            lambda: await_only(asyncpg.connect(host=LOCALHOST, port=silent_port, timeout=PATIENCE))
        )
        for _ in range(turns % 5):
            await asyncio.sleep(0)
        loop.call_soon(time.sleep, 2 * MOMENT_SECONDS)
        await lane.end(future, do_nothing)
    gc.collect()
    assert forgotten == []
