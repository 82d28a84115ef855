"""Every fault of the catalogue, injected into a running exporter and healed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx
import pytest

from sqlalchemy_pool_exporter.probes import Kind, Probe, Result
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import build_app, open_client, read_service
from tests.faults.catalogue import CATALOGUE, Fault, Lasts, Noticed
from tests.faults.scenes import Scene
from tests.servers.accounts import MONITOR
from tests.servers.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio

PROBE = {"interval": "500ms", "timeout": "500ms", "fresh_connection_interval": "1500ms"}
# The test itself checks the healthy database, over and over.
PATIENT_PROBE = {"interval": "10s", "timeout": "10s", "fresh_connection_interval": "10s"}
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 20.0
# The pool's connection and a new one.
MOST_SESSIONS = 2
# Checks of the healthy database during the fault.
ROUNDS = 3


@dataclass(slots=True)
class Watcher:
    """A client that requests metrics and the health of the healthy database all the time."""

    client: httpx.AsyncClient
    scene: Scene
    rounds: int = 0
    is_counting: bool = False
    sessions: set[int | None] = field(default_factory=set)

    async def keep(self) -> None:
        while True:
            metrics, health = await asyncio.gather(
                self.client.get("/metrics"), self.client.get("/health/db/healthy")
            )
            assert (metrics.status_code, health.status_code) == (200, 200), health.text
            assert 'sqlalchemy_database_up{database="healthy"} 1.0' in metrics.text
            if self.is_counting:
                self.sessions.add(await asyncio.to_thread(self.scene.count_sessions))
            self.rounds += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def see(self, rounds: int) -> None:
        enough = self.rounds + rounds
        await wait_for(lambda: self.rounds >= enough)


@asynccontextmanager
async def keep_watch(client: httpx.AsyncClient, scene: Scene) -> AsyncIterator[Watcher]:
    await client.get("/health/db/healthy")
    watch = Watcher(client, scene)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch.keep())
        yield watch
        task.cancel()


@asynccontextmanager
async def strike(fault: Fault, watch: Watcher) -> AsyncIterator[None]:
    """Inject the fault for the time of the block."""
    block = fault.strike(watch.scene)
    await asyncio.to_thread(block.__enter__)
    try:
        watch.is_counting = not fault.is_deaf
        yield
    finally:
        watch.is_counting = False
        await asyncio.to_thread(block.__exit__, None, None, None)


@dataclass(frozen=True, slots=True)
class Log:
    """The log lines of the faulty database."""

    caplog: pytest.LogCaptureFixture

    def read_reasons(self) -> list[str | None]:
        """Return the reason of each line that reports it down, None for one that reports it up."""
        return [
            getattr(record, "reason", None)
            for record in self.caplog.records
            if getattr(record, "database", None) == "faulty"
        ]

    def is_up(self) -> bool:
        return self.read_reasons()[-1:] == [None]

    def is_down(self) -> bool:
        return self.read_reasons()[-1:] not in ([], [None])


def count_ok(probe: Probe, fault: Fault) -> int:
    """Return how many of the probes that can notice the fault succeeded."""
    kinds = [Kind.FRESH] if fault.noticed is Noticed.FRESH else list(Kind)
    return sum(probe.probes_total[kind, Result.OK] for kind in kinds)


def count_errors(probe: Probe) -> int:
    return sum(probe.probes_total[kind, Result.ERROR] for kind in Kind)


def read_error_reasons(probe: Probe) -> set[str]:
    return {reason for reason, count in probe.probe_errors_total.items() if count}


@pytest.fixture
def scene(request: pytest.FixtureRequest, fault: Fault) -> Iterator[Scene]:
    with fault.open_scene(request) as scene:
        yield scene


@asynccontextmanager
async def expose(
    scene: Scene, fault: Fault, healthy: EmbeddedPostgres
) -> AsyncIterator[tuple[Probe, Watcher]]:
    databases: dict[str, Any] = {
        "faulty": {"url": scene.url, "probe": {**PROBE, "query": fault.query}},
        "healthy": {"url": healthy.url("postgres", *MONITOR), "probe": PATIENT_PROBE},
    }
    app = build_app(databases)
    async with open_client(app) as client, keep_watch(client, scene) as watch:
        probe = read_service(app).probes.get("faulty")
        await wait_for(lambda: probe.up)
        await client.get("/health/db/faulty")  # opens the pool's connection
        assert probe.probes_total[Kind.POOLED, Result.OK]
        yield probe, watch


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.INFO, logger="sqlalchemy_pool_exporter")
    return Log(caplog)


def choose(*, lasts: Lasts, maybe: bool) -> pytest.MarkDecorator:
    chosen = [
        fault
        for fault in CATALOGUE
        if fault.lasts is lasts and (fault.noticed is Noticed.MAYBE) is maybe
    ]
    return pytest.mark.parametrize("fault", chosen, ids=str)


@choose(lasts=Lasts.UNTIL_HEALED, maybe=False)
async def test_a_fault_shows_within_a_probe_and_recovers_without_a_restart(
    fault: Fault, scene: Scene, postgres: EmbeddedPostgres, log: Log
) -> None:
    async with expose(scene, fault, postgres) as (probe, watch):
        async with strike(fault, watch):
            succeeded = count_ok(probe, fault)
            await wait_for(log.is_down)
            assert count_ok(probe, fault) - succeeded <= 1  # the one in flight
            await assert_down(fault, watch.client)
            failed = count_errors(probe)
            await wait_for(lambda: count_errors(probe) > failed)
            await watch.see(ROUNDS)
            assert not probe.up
        failed = count_errors(probe)
        await wait_for(log.is_up)
        assert count_errors(probe) - failed <= 1  # the one in flight
        await assert_up(watch.client)

        reasons = log.read_reasons()
        assert reasons[0] is reasons[-1] is None
        assert set(reasons[1:-1]) <= fault.reasons
        assert all(a != b for a, b in pairwise(reasons))
        assert read_error_reasons(probe) <= fault.reasons
        await assert_few_sessions(watch)


async def assert_down(fault: Fault, client: httpx.AsyncClient) -> None:
    health = await client.get("/health/db/faulty")
    assert health.status_code == 503
    assert health.json()["reason"] in fault.reasons
    metrics = (await client.get("/metrics")).text
    assert 'sqlalchemy_database_up{database="faulty"} 0.0' in metrics
    assert count_shown_errors(metrics, health.json()["reason"]) > 0


async def assert_few_sessions(watch: Watcher) -> None:
    """Check the sessions on the server during the fault, if it knows them, and afterwards."""
    assert max((count or 0 for count in watch.sessions), default=0) <= MOST_SESSIONS
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await asyncio.to_thread(watch.scene.count_sessions) or 0) > MOST_SESSIONS:  # noqa: ASYNC110 - a server sets no event
            await asyncio.sleep(PAUSE_SECONDS)


async def assert_up(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/db/faulty")).status_code == 200
    assert 'sqlalchemy_database_up{database="faulty"} 1.0' in (await client.get("/metrics")).text


def count_shown_errors(metrics: str, reason: str) -> float:
    name = f'sqlalchemy_database_probe_errors_total{{database="faulty",reason="{reason}"}} '
    (line,) = (line for line in metrics.splitlines() if line.startswith(name))
    return float(line.rpartition(" ")[2])


@choose(lasts=Lasts.ONE_PROBE, maybe=False)
async def test_a_fault_of_old_connections_alone_costs_one_probe(
    fault: Fault, scene: Scene, postgres: EmbeddedPostgres, log: Log
) -> None:
    async with expose(scene, fault, postgres) as (probe, watch):
        async with strike(fault, watch):
            await wait_for(lambda: log.is_up() and len(log.read_reasons()) == 3)
            await assert_up(watch.client)
            await watch.see(ROUNDS)
        assert [{reason} for reason in log.read_reasons()[1:-1]] == [fault.reasons]
        assert read_error_reasons(probe) == fault.reasons
        assert count_errors(probe) == 1
        await assert_few_sessions(watch)


@choose(lasts=Lasts.ONE_PROBE, maybe=True)
async def test_a_restart_shows_at_most_while_it_lasts(
    fault: Fault, scene: Scene, postgres: EmbeddedPostgres, log: Log
) -> None:
    async with expose(scene, fault, postgres) as (probe, watch):
        async with strike(fault, watch):
            failed, succeeded = count_errors(probe), count_ok(probe, fault)
            await wait_for(lambda: count_ok(probe, fault) >= succeeded + ROUNDS)
            assert count_errors(probe) - failed <= 1  # the one in flight
            await assert_up(watch.client)
        assert log.read_reasons() in ([None], [None, *fault.reasons, None])
        assert read_error_reasons(probe) <= fault.reasons
        await assert_few_sessions(watch)
