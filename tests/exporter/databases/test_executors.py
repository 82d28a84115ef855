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
    MAX_ABANDONED,
    AsyncExecutor,
    Executor,
    ThreadExecutor,
    TooManyAbandonedCallsError,
)
from sqlalchemy_pool_exporter.dialects import Driver, find_driver
from sqlalchemy_pool_exporter.dialects.postgresql.connection import CONNECTING_SECONDS
from tests.exporter.open_databases import PATIENCE
from tests.exporter.waiting import wait_for
from tests.servers.endpoints import LOCALHOST

pytestmark = pytest.mark.anyio


def do_nothing() -> None:
    pass


async def abandon(executor: Executor, hang: Callable[[], None]) -> None:
    future = executor.start(hang)
    await asyncio.sleep(0)  # a task that has not run yet would end without hanging
    await executor.cancel(future, do_nothing)


class Hang:
    """A call that hangs until it is released, although it is cancelled."""

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
def executor(request: pytest.FixtureRequest) -> Executor:
    return AsyncExecutor("shop", Driver()) if request.param == "loop" else ThreadExecutor("shop")


@pytest.fixture
async def hang(executor: Executor) -> AsyncIterator[Callable[[], None]]:
    hang = Hang()
    yield hang.in_loop if isinstance(executor, AsyncExecutor) else hang.in_thread
    hang.release()
    await wait_for(lambda: executor.abandoned == 0)
    executor.close()


async def test_a_call_returns_its_outcome(executor: Executor) -> None:
    assert await executor.start(lambda: 6 * 7) == 42
    executor.close()


async def test_a_call_raises_its_error(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        await executor.start(lambda: 1 / 0)
    assert await executor.start(lambda: "the next one works") == "the next one works"
    executor.close()


async def test_the_next_call_runs_after_one_was_abandoned(
    executor: Executor, hang: Callable[[], None]
) -> None:
    await abandon(executor, hang)
    assert await executor.start(lambda: "done") == "done"
    assert repr(executor) == f"<{type(executor).__name__} 'shop' abandoned=1>"


async def test_too_many_hanging_calls_block_the_executor_until_one_ends(
    executor: Executor, hang: Callable[[], None]
) -> None:
    for _ in range(MAX_ABANDONED):
        await abandon(executor, hang)
    with pytest.raises(TooManyAbandonedCallsError, match="3 earlier attempts still hang"):
        executor.start(do_nothing)
    hang.__self__.release()  # type: ignore[attr-defined]
    await wait_for(lambda: executor.abandoned == 0)
    assert await executor.start(lambda: "open again") == "open again"


async def test_one_more_call_is_tried_after_a_while_and_the_next_after_a_longer_one(
    executor: Executor, hang: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(MAX_ABANDONED):
        await abandon(executor, hang)
    monkeypatch.setattr("sqlalchemy_pool_exporter.databases.executors.RETRY_SECONDS", 0)
    assert await executor.start(lambda: "the server answers again") == "the server answers again"
    await abandon(executor, hang)
    monkeypatch.setattr("sqlalchemy_pool_exporter.databases.executors.RETRY_SECONDS", PATIENCE)
    with pytest.raises(TooManyAbandonedCallsError, match="4 earlier attempts still hang"):
        executor.start(do_nothing)
    hang.__self__.release()  # type: ignore[attr-defined]
    await wait_for(lambda: executor.abandoned == 0)


async def test_the_error_of_a_cancelled_call_is_not_logged_by_asyncio(executor: Executor) -> None:
    started, release = threading.Event(), threading.Event()

    def fail_late() -> None:
        started.set()
        if isinstance(executor, ThreadExecutor):
            release.wait()
        raise ValueError("too late")

    future = executor.start(fail_late)
    await wait_for(started.is_set)
    release.set()
    await executor.cancel(future, do_nothing)
    await wait_for(lambda: executor.abandoned == 0)


async def test_every_call_of_a_thread_executor_runs_in_one_thread() -> None:
    executor = ThreadExecutor("shop")
    threads = {await executor.start(threading.get_ident) for _ in range(5)}
    executor.close()
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_an_abandoned_thread_cleans_up_when_its_call_ends() -> None:
    executor, release, cleaned_by = ThreadExecutor("shop"), threading.Event(), list[str]()
    future = executor.start(release.wait)
    await executor.cancel(future, lambda: cleaned_by.append(threading.current_thread().name))
    assert cleaned_by == []
    release.set()
    await wait_for(lambda: cleaned_by == ["shop"])
    await wait_for(lambda: executor.abandoned == 0)


async def test_a_closed_executor_leaves_no_thread() -> None:
    executor = ThreadExecutor("a name of its own")
    await executor.start(do_nothing)
    executor.close()
    await wait_for(lambda: executor.name not in {thread.name for thread in threading.enumerate()})


def test_a_call_that_ends_after_its_loop_was_closed_is_ignored() -> None:
    release = threading.Event()

    async def leave() -> ThreadExecutor:
        executor = ThreadExecutor("shop")
        await executor.cancel(executor.start(release.wait), do_nothing)
        return executor

    executor = asyncio.run(leave())
    release.set()
    asyncio.run(wait_for(lambda: executor.abandoned == 0))


async def test_cancelling_asyncpg_in_a_late_loop_logs_no_error(
    silent_port: int,
) -> None:
    """On a busy machine, the socket connects and the wait ends in the same turn of the loop."""
    loop = asyncio.get_running_loop()
    unretrieved: list[object] = []
    loop.set_exception_handler(lambda _, context: unretrieved.append(context))
    executor = AsyncExecutor("shop", find_driver("postgresql", "asyncpg"))
    for turns in range(50):
        future = executor.start(
            lambda: await_only(asyncpg.connect(host=LOCALHOST, port=silent_port, timeout=PATIENCE))
        )
        for _ in range(turns % 5):
            await asyncio.sleep(0)
        loop.call_soon(time.sleep, 2 * CONNECTING_SECONDS)
        await executor.cancel(future, do_nothing)
    gc.collect()
    assert unretrieved == []


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_the_error_of_a_call_whose_caller_is_gone_is_not_logged(kind: str) -> None:
    executor: Executor = (
        AsyncExecutor("shop", Driver()) if kind == "async" else ThreadExecutor("shop")
    )
    unretrieved: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unretrieved.append(context))
    future = executor.start(lambda: 1 // 0)
    await asyncio.wait({future})
    del future
    gc.collect()
    executor.close()
    assert unretrieved == []
