"""New connections on request, for whom it is enabled."""

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


async def test_recreating_replaces_the_pool_and_answers_with_health(up: dict[str, Any]) -> None:
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


async def test_recreating_counts_on_where_the_pool_stopped(up: dict[str, Any]) -> None:
    app = build_app({"shop": up}, **ENABLED)
    async with open_client(app) as client:
        await client.get("/health/db/shop")
        await client.post("/-/databases/shop/recreate")
        pool = read_service(app).databases.get("shop").read_pool()
    assert pool.connections_opened >= 1
    assert pool.checked_out == 0


async def test_database_that_is_down_says_why(closed_port: int) -> None:
    app = build_app({"shop": build_down(closed_port)}, **ENABLED)
    async with open_client(app) as client:
        response = await client.post("/-/databases/shop/recreate")
    assert response.status_code == 503
    assert response.json()["status"] == "unhealthy"
    assert response.json()["reason"] == "refused"
    assert CANARY not in response.text


async def test_request_that_waits_when_the_exporter_stops_is_told_so(silent_port: int) -> None:
    app = build_app({"shop": build_down(silent_port)}, **ENABLED)
    called = asyncio.Event()
    async with connect(app) as client, asyncio.timeout(15):
        async with app.router.lifespan_context(app):
            database = read_service(app).databases.get("shop")
            recreate = database.recreate

            async def tell_and_recreate() -> None:
                called.set()
                await recreate()

            database.recreate = tell_and_recreate  # type: ignore[method-assign]
            waiting = asyncio.create_task(client.post("/-/databases/shop/recreate"))
            await called.wait()
        response = await waiting
    assert response.status_code == 503
    assert response.json()["error"] == "the exporter is stopping"


@pytest.mark.parametrize("state", ["starting", "stopping"])
async def test_exporter_that_does_not_run_recreates_nothing(up: dict[str, Any], state: str) -> None:
    app = build_app({"shop": up}, **ENABLED)
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


async def test_unknown_database_is_told_the_known_ones(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up}, **ENABLED)) as client:
        response = await client.post("/-/databases/shpo/recreate")
    assert response.status_code == 404
    assert response.json()["databases"] == ["shop"]


async def test_without_lifecycle_it_is_forbidden_and_says_how(up: dict[str, Any]) -> None:
    app = build_app({"shop": up})
    async with open_client(app) as client:
        pool = read_service(app).databases.get("shop").engine.pool
        response = await client.post("/-/databases/shop/recreate")
        assert read_service(app).databases.get("shop").engine.pool is pool
    assert response.status_code == 403
    assert "--web.enable-lifecycle" in response.text


async def test_reading_a_lifecycle_path_names_its_method(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up}, **ENABLED)) as client:
        response = await client.get("/-/databases/shop/recreate")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
