from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from sqlalchemy import create_engine

from sqlalchemy_pool_exporter.databases.call_queue import CallQueue
from sqlalchemy_pool_exporter.databases.connections import ConnectionTracker
from sqlalchemy_pool_exporter.databases.executors import AsyncExecutor, Executor, ThreadExecutor
from sqlalchemy_pool_exporter.dialects import Driver
from tests.exporter.open_databases import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["async", "thread"])
async def calls(request: pytest.FixtureRequest) -> AsyncIterator[CallQueue]:
    is_async = request.param == "async"
    executor: Executor = AsyncExecutor("shop", Driver()) if is_async else ThreadExecutor("shop")
    calls = CallQueue(executor)
    yield calls
    calls.close()


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def run(calls: CallQueue, call: Callable[[], object], seconds: float = PATIENCE) -> object:
    connections = ConnectionTracker(create_engine("sqlite://"), lambda: pytest.fail("connects"))
    deadline = time.monotonic() + seconds
    return await calls.run(call, connections, deadline, lambda: LookupError("no answer"))


async def test_a_background_call_has_another_thread_and_returns_its_outcome(
    calls: CallQueue,
) -> None:
    def look_out() -> bool:
        here = threading.current_thread()
        return here is not calls.run_in_background("weather", threading.current_thread, 9, KeyError)

    assert await run(calls, look_out) is True


async def test_a_background_call_raises_its_error(calls: CallQueue) -> None:
    with pytest.raises(ZeroDivisionError):
        await run(
            calls, lambda: calls.run_in_background("weather", lambda: 1 // 0, PATIENCE, KeyError)
        )


async def test_a_background_call_that_takes_too_long_ends_with_its_own_error(
    calls: CallQueue, release: threading.Event
) -> None:
    def look_out() -> None:
        calls.run_in_background("weather", release.wait, 0.01, lambda: LookupError("no weather"))

    with pytest.raises(LookupError, match="no weather"):
        await run(calls, look_out)
    assert await run(calls, lambda: "the next call runs") == "the next call runs"


async def test_a_call_that_is_cut_off_in_a_background_call_ends_with_its_error(
    calls: CallQueue, release: threading.Event
) -> None:
    def look_out() -> None:
        calls.run_in_background("weather", release.wait, 0.3, lambda: LookupError("no weather"))

    with pytest.raises(LookupError, match="no weather"):
        await run(calls, look_out, 0.05)


async def test_a_detached_call_that_hangs_is_cut_off_in_the_end(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.databases.call_queue.MAX_DETACHED_SECONDS", 0)
    calls = CallQueue(ThreadExecutor("shop"), may_detach=lambda: True)
    with pytest.raises(LookupError, match="no answer"):
        await run(calls, release.wait, 0.01)
    assert await run(calls, lambda: "the next call runs") == "the next call runs"
    calls.close()
