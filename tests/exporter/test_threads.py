from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_pool_exporter.threads import BackgroundCalls
from tests.exporter.open_databases import PATIENCE
from tests.exporter.waiting import wait_for

pytestmark = pytest.mark.anyio
ABOUT = "the weather"


@pytest.fixture(params=[True, False], ids=["async", "sync"])
def aside(request: pytest.FixtureRequest) -> BackgroundCalls:
    return BackgroundCalls("shop", is_async=request.param)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def make(aside: BackgroundCalls, call: object, seconds: float = PATIENCE) -> object:
    return await greenlet_spawn(aside.make, ABOUT, call, seconds, lambda: LookupError("too late"))


async def test_a_call_aside_runs_in_another_thread_and_gives_back_its_outcome(
    aside: BackgroundCalls,
) -> None:
    assert await make(aside, threading.current_thread) is not threading.current_thread()
    assert aside.pending is None


async def test_a_call_aside_gives_back_its_error(aside: BackgroundCalls) -> None:
    with pytest.raises(ZeroDivisionError):
        await make(aside, lambda: 1 // 0)


async def test_a_call_aside_that_hangs_is_joined_and_not_made_again(
    aside: BackgroundCalls, release: threading.Event
) -> None:
    calls = []

    def hang() -> int:
        calls.append(threading.current_thread())
        release.wait()
        return len(calls)

    for _ in range(5):
        with pytest.raises(LookupError, match="too late"):
            await make(aside, hang, 0.01)
    assert len(calls) == 1
    release.set()
    await wait_for(lambda: not calls[0].is_alive())
    assert await make(aside, hang) == 2
