"""Every fault of the catalogue over and over leaves nothing behind.

Slow faults are repeated less often, unless FAULT_ROUNDS gives a number for all.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.failures import Reason
from sqlalchemy_pool_exporter.probes import Kind, Probe, Result
from tests.exporter.web.clients import build_app, open_client, read_service
from tests.faults.catalogue import CATALOGUE, Fault, Lasts, Noticed
from tests.faults.scenes import Scene

pytestmark = pytest.mark.anyio

# The timeout leaves a login on a busy machine its time.
PROBE = {"interval": "200ms", "timeout": "200ms", "fresh_connection_interval": "200ms"}
# After so many rounds, caches and the threads of asyncio's executor are filled.
FIRST_ROUNDS = 3
ROUNDS = 15
# Rounds of faults that cost a timeout or many connections, and a server's start.
LONG = {Reason.TIMEOUT, Reason.TOO_MANY_CONNECTIONS}
LONG_ROUNDS = 8
SLOW_ROUNDS = 6
CHANGE_SECONDS = 20.0
BREATH_SECONDS = 0.005
PAUSE_SECONDS = 0.05
SETTLE_SECONDS = 10.0


def read_rounds(fault: Fault) -> int:
    chosen = os.environ.get("FAULT_ROUNDS")
    if chosen:
        return int(chosen)
    if fault.is_slow:
        return SLOW_ROUNDS
    return LONG_ROUNDS if fault.reasons & LONG else ROUNDS


CASES = [
    pytest.param(fault, read_rounds(fault), id=f"{fault}-{read_rounds(fault)}-times")
    for fault in CATALOGUE
]


@dataclass(frozen=True, slots=True)
class Belongings:
    """What this process holds, and its sessions on the server."""

    descriptors: int
    threads: int
    tasks: int
    sessions: int


def is_of_executor(thread: threading.Thread) -> bool:
    """Return whether it is a thread of asyncio's executor, which stays and may get company."""
    return thread.name.startswith("asyncio_")


def count_belongings(sessions: int | None) -> Belongings:
    gc.collect()
    return Belongings(
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=len([each for each in threading.enumerate() if not is_of_executor(each)]),
        tasks=len(asyncio.all_tasks()),
        sessions=sessions or 0,
    )


@pytest.fixture
def scene(request: pytest.FixtureRequest, fault: Fault) -> Iterator[Scene]:
    with fault.open_scene(request) as scene:
        yield scene


@pytest.mark.parametrize(("fault", "rounds"), CASES)
async def test_a_fault_leaves_nothing_behind(fault: Fault, rounds: int, scene: Scene) -> None:
    database = {"url": scene.url, "probe": {**PROBE, "query": fault.query}, "server_metrics": False}
    app = build_app({"shop": database})
    async with open_client(app):
        probes = read_service(app).probes
        await probes.stop()  # from now on the test probes
        probe = probes.get("shop")
        await fill_pool(probe)
        for _ in range(FIRST_ROUNDS):
            await suffer(fault, scene, probe)
        before = await settle(scene, lambda _: True)
        for _ in range(rounds - FIRST_ROUNDS):
            await suffer(fault, scene, probe)
        after = await settle(scene, lambda found: is_within(found, before))
        assert is_within(after, before), (before, after)


def is_within(found: Belongings, limits: Belongings) -> bool:
    return all(a <= b for a, b in zip(astuple(found), astuple(limits), strict=True))


async def suffer(fault: Fault, scene: Scene, probe: Probe) -> None:
    """Run one round: injected, down, healed and up again."""
    errors = count_errors(probe)
    block = fault.strike(scene)
    await asyncio.to_thread(block.__enter__)
    try:
        if fault.noticed is not Noticed.MAYBE:
            await check_until(probe, lambda: count_errors(probe) > errors)
        if fault.lasts is Lasts.ONE_PROBE:
            await check_until(probe, lambda: probe.up)
    finally:
        await asyncio.to_thread(block.__exit__, None, None, None)
    await fill_pool(probe)


async def fill_pool(probe: Probe) -> None:
    """Probe until the pool has a connection again: a fresh one is not the pool's."""
    pooled = probe.probes_total[Kind.POOLED, Result.OK]
    await check_until(probe, lambda: probe.probes_total[Kind.POOLED, Result.OK] > pooled)


def count_errors(probe: Probe) -> int:
    return sum(probe.probes_total[kind, Result.ERROR] for kind in Kind)


async def check_until(probe: Probe, condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + CHANGE_SECONDS
    while not condition():
        assert time.monotonic() < ends_at, f"{probe!r}: {probe.last}"
        await probe.check()
        await asyncio.sleep(BREATH_SECONDS)  # a refused connection ends at once


async def settle(scene: Scene, is_enough: Callable[[Belongings], bool]) -> Belongings:
    """Return what is held as soon as `is_enough` accepts it, or after a while."""
    ends_at = time.monotonic() + SETTLE_SECONDS
    while True:
        sessions = await asyncio.to_thread(scene.count_sessions)
        found = count_belongings(sessions)
        if is_enough(found) or time.monotonic() > ends_at:
            return found
        await asyncio.sleep(PAUSE_SECONDS)
