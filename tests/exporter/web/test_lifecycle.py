"""The paths below /-/ that answer for the process and recreate a pool."""

import asyncio
from typing import Any

import pytest

from tests.exporter.web.clients import (
    CANARY,
    build_app,
    build_down,
    connect,
    open_client,
    read_service,
)

pytestmark = pytest.mark.anyio

ENABLED: dict[str, Any] = {"web": {"enable_lifecycle": True}}


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
async def test_the_exporter_is_healthy_and_ready_while_its_database_hangs(
    path: str, silent_port: int
) -> None:
    async with open_client(build_app({"shop": build_down(silent_port)})) as client:
        response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")


async def test_the_exporter_is_ready_only_between_start_and_stop() -> None:
    app = build_app({})
    async with connect(app) as client:
        assert (await client.get("/-/ready")).status_code == 503
        async with app.router.lifespan_context(app):
            ready = await client.get("/-/ready")
        stopping = await client.get("/-/ready")
        assert (await client.get("/-/healthy")).status_code == 200
    assert (ready.status_code, ready.text) == (200, "ready\n")
    assert (stopping.status_code, stopping.text) == (503, "stopping\n")


async def test_recreate_replaces_the_pool_and_answers_with_its_health(up: dict[str, Any]) -> None:
    app = build_app({"shop": up}, **ENABLED)
    async with open_client(app) as client:
        await client.get("/health/db/shop")
        engine = read_service(app).databases.get("shop").engine
        before = engine.pool
        response = await client.post("/-/databases/shop/recreate")
        assert engine.pool is not before
    assert response.status_code == 200
    assert response.json()["name"] == "shop"
    assert response.json()["status"] == "healthy"


async def test_recreate_keeps_the_counters(up: dict[str, Any]) -> None:
    app = build_app({"shop": up}, **ENABLED)
    async with open_client(app) as client:
        await client.get("/health/db/shop")
        await client.post("/-/databases/shop/recreate")
        pool = read_service(app).databases.get("shop").read_pool()
    assert pool.connections_opened >= 1
    assert pool.checked_out == 0


async def test_recreate_answers_with_the_reason_when_the_database_is_down(closed_port: int) -> None:
    app = build_app({"shop": build_down(closed_port)}, **ENABLED)
    async with open_client(app) as client:
        response = await client.post("/-/databases/shop/recreate")
    assert response.status_code == 503
    assert response.json()["status"] == "unhealthy"
    assert response.json()["reason"] == "refused"
    assert CANARY not in response.text


async def test_a_recreate_that_waits_when_the_exporter_stops_gets_503(silent_port: int) -> None:
    app = build_app({"shop": build_down(silent_port)}, **ENABLED)
    called = asyncio.Event()
    async with connect(app) as client, asyncio.timeout(15):
        async with app.router.lifespan_context(app):
            database = read_service(app).databases.get("shop")
            recreate = database.recreate

            async def note_and_recreate() -> None:
                called.set()
                await recreate()

            database.recreate = note_and_recreate  # type: ignore[method-assign]
            waiting = asyncio.create_task(client.post("/-/databases/shop/recreate"))
            await called.wait()
        response = await waiting
    assert response.status_code == 503
    assert response.json()["error"] == "the exporter is stopping"


@pytest.mark.parametrize("state", ["starting", "stopping"])
async def test_recreate_does_nothing_before_the_start_and_after_the_stop(
    up: dict[str, Any], state: str
) -> None:
    app = build_app({"shop": up}, **ENABLED)
    await read_service(app).build_databases()
    engine = read_service(app).databases.get("shop").engine
    if state == "stopping":
        async with app.router.lifespan_context(app):
            pass
    pool = engine.pool
    async with connect(app) as client:
        response = await client.post("/-/databases/shop/recreate")
    assert engine.pool is pool
    assert response.status_code == 503
    assert response.json()["error"] == f"the exporter is {state}"


async def test_recreate_of_an_unknown_database_gets_404_with_the_names(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up}, **ENABLED)) as client:
        response = await client.post("/-/databases/shpo/recreate")
    assert response.status_code == 404
    assert response.json()["databases"] == ["shop"]


async def test_recreate_without_lifecycle_gets_403_with_the_option(up: dict[str, Any]) -> None:
    app = build_app({"shop": up})
    async with open_client(app) as client:
        pool = read_service(app).databases.get("shop").engine.pool
        response = await client.post("/-/databases/shop/recreate")
        assert read_service(app).databases.get("shop").engine.pool is pool
    assert response.status_code == 403
    assert "--web.enable-lifecycle" in response.text


async def test_get_of_recreate_gets_405_with_the_method(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up}, **ENABLED)) as client:
        response = await client.get("/-/databases/shop/recreate")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
