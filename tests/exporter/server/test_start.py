"""Requests that come while the engines are being built."""

import asyncio
import threading
from collections.abc import Iterator, Mapping

import pytest

from sqlalchemy_pool_exporter.databases import Database, DatabaseRegistry
from sqlalchemy_pool_exporter.settings import DatabaseSettings
from tests.exporter.changing_source import ChangingSource
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import build_app
from tests.exporter.web.serving import serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Engines take until this is set."""
    may_end, prepare = threading.Event(), DatabaseRegistry.prepare

    def wait_and_prepare(
        self: DatabaseRegistry, settings: Mapping[str, DatabaseSettings]
    ) -> dict[str, Database]:
        may_end.wait()
        return prepare(self, settings)

    monkeypatch.setattr(DatabaseRegistry, "prepare", wait_and_prepare)
    yield may_end
    may_end.set()


async def test_until_the_engines_are_built_it_is_healthy_and_not_ready(
    building: threading.Event,
) -> None:
    async with (
        serve(build_app({"shop": {"url": "sqlite://"}}), is_started=False) as served,
        served.open_client() as client,
    ):
        assert (await client.get("/-/healthy")).status_code == 200
        ready = await client.get("/-/ready")
        assert (ready.status_code, ready.text) == (503, "starting\n")
        early = asyncio.create_task(client.get("/health/db/shop"))
        await wait_for(lambda: len(served.server.server_state.tasks) == 1)
        building.set()
        assert (await early).json()["status"] == "healthy"
        assert (await client.get("/-/ready")).status_code == 200


async def test_a_start_that_takes_long_is_said_to_early_requests(
    building: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.service.START_SECONDS", 0.1)
    async with (
        serve(build_app({"shop": {"url": "sqlite://"}}), is_started=False) as served,
        served.open_client() as client,
    ):
        early = await client.get("/metrics")
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        assert "The exporter is starting" in early.text
        building.set()
        await wait_for(lambda: served.app.state.service.is_ready)
        assert (await client.get("/metrics")).status_code == 200


async def test_a_request_waits_for_the_first_configuration(building: threading.Event) -> None:
    app = ChangingSource({"shop": {"url": "sqlite://"}}).build_waiting_app()
    async with serve(app, is_started=False) as served, served.open_client() as client:
        assert (await client.get("/-/healthy")).status_code == 200
        early = asyncio.create_task(client.get("/health/db/shop"))
        await wait_for(lambda: len(served.server.server_state.tasks) == 1)
        building.set()
        assert (await early).status_code == 200


async def test_it_can_be_stopped_while_the_engines_are_built(building: threading.Event) -> None:
    async with (
        serve(build_app({"shop": {"url": "sqlite://"}}), is_started=False) as served,
        served.open_client() as client,
    ):
        assert (await client.get("/-/healthy")).status_code == 200
        served.server.should_exit = True
        building.set()
    assert served.app.state.service.state == "stopping"
    assert list(served.app.state.service.databases) == []
