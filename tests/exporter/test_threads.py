from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sqlalchemy_pool_exporter.threads import BackgroundCalls, DaemonThread, run_in_daemon_thread
from tests.exporter.open_databases import PATIENCE
from tests.exporter.waiting import wait_for

pytestmark = pytest.mark.anyio


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_daemon_thread_runs_its_calls_in_order_and_ends_after_them() -> None:
    thread = DaemonThread("worker")
    futures = [thread.submit(threading.current_thread) for _ in range(3)]
    thread.finish()
    threads = {future.result(PATIENCE) for future in futures}
    assert len(threads) == 1
    threads.pop().join(PATIENCE)
    assert not thread.is_alive()


async def test_a_call_in_a_daemon_thread_returns_its_outcome_or_raises_its_error() -> None:
    thread = await run_in_daemon_thread(threading.current_thread, "worker")
    assert (thread.name, thread.daemon) == ("worker", True)
    with pytest.raises(ZeroDivisionError):
        await run_in_daemon_thread(lambda: 1 // 0, "worker")


async def test_a_background_call_that_hangs_is_joined_and_not_made_again(
    release: threading.Event,
) -> None:
    calls = BackgroundCalls("shop")
    threads = []

    def hang() -> int:
        threads.append(threading.current_thread())
        release.wait()
        return len(threads)

    for _ in range(5):
        with pytest.raises(TimeoutError):
            await calls.run("weather", hang, 0.01)
    assert [thread.name for thread in threads] == ["shop: weather"]
    release.set()
    await wait_for(lambda: not threads[0].is_alive())
    assert await calls.run("weather", hang, PATIENCE) == 2


async def test_background_calls_with_other_keys_run_beside_one_that_hangs(
    release: threading.Event,
) -> None:
    calls = BackgroundCalls("shop")
    hanging = calls.start("weather", release.wait)
    with pytest.raises(ZeroDivisionError):
        await calls.run("news", lambda: 1 // 0, PATIENCE)
    assert not hanging.done()
