"""The health of the databases, for people and for the probes of Kubernetes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.exporter.shared_files.shared_files import POOL, SharedFile
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import (
    CANARY,
    build_app,
    build_down,
    connect,
    open_client,
    read_service,
)

pytestmark = pytest.mark.anyio


def count_waiting() -> int:
    """How many requests wait for a check."""
    coroutines = (task.get_coro() for task in asyncio.all_tasks())
    return sum(getattr(each, "__name__", "") == "check" for each in coroutines)


async def test_a_healthy_database_gets_200_with_its_pool(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up})) as client:
        response = await client.get("/health/db/shop")
    health = response.json()
    checked_at = datetime.fromisoformat(health.pop("checked_at"))
    assert timedelta(0) <= datetime.now(UTC) - checked_at < timedelta(minutes=1)
    assert health.pop("latency_ms") > 0
    assert health == {
        "name": "shop",
        "status": "healthy",
        "pool_size": 1,
        "pool_checked_out": 0,
    }
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


async def test_the_pools_of_the_application_stand_beside_the_exporters(
    tmp_path: Path, up: dict[str, Any], closed_port: int
) -> None:
    main = replace(POOL, host="127.0.0.1", port=closed_port, database="shop")
    full = SharedFile(tmp_path, main, replace(POOL, name="other", host="elsewhere"))
    for name, value in {"held_spilled": 15, "saturated": 1, "waiting_spilled": 2}.items():
        full.set(name, value)
    failing = SharedFile(tmp_path, main, replace(main, name="unlimited", max_connections=None))
    failing.set("checkout_failures_error", 7)
    failing.set("connection_failures_auth", 6)
    failing.set("connection_failures_dns", 2)
    SharedFile(tmp_path, replace(main, name="ended")).end()
    databases = {"shop": build_down(closed_port), "lake": up}
    async with open_client(build_app(databases, app={"dir": str(tmp_path)})) as client:
        alone = (await client.get("/health/db/shop")).json()
        both = (await client.get("/health/db")).json()["databases"]
    assert alone["pool_checked_out"] == 0
    pools = {pool.pop("pool"): pool for pool in alone["application_pools"]}
    assert pools.keys() == {"main", "unlimited", "ended"}
    assert pools["main"] == {
        "application": "shop",
        "processes": 2,
        "saturated_processes": 1,
        "checked_out": 15,
        "max_connections": 30,
        "pending_checkouts": 2,
        "checkouts": 0,
        "checkout_failures": {"timeout": 0, "cancelled": 0, "error": 7},
        "connection_failures": 8,
    }
    assert pools["unlimited"]["max_connections"] is None
    assert (pools["ended"]["processes"], pools["ended"]["checked_out"]) == (0, None)
    assert "application_pools" in both["shop"]
    assert "application_pools" not in both["lake"]


async def test_an_unhealthy_database_gets_503_with_a_reason_and_a_message(closed_port: int) -> None:
    async with open_client(build_app({"shop": build_down(closed_port)})) as client:
        response = await client.get("/health/db/shop")
    health = response.json()
    assert response.status_code == 503
    assert health["status"] == "unhealthy"
    assert health["reason"] == "refused"
    assert health["message"]
    assert CANARY not in response.text


async def test_one_unhealthy_database_makes_all_unhealthy(
    up: dict[str, Any], closed_port: int
) -> None:
    down = build_down(closed_port)
    async with open_client(build_app({"shop": up, "orders": down})) as client:
        response = await client.get("/health/db")
    health = response.json()
    assert response.status_code == 503
    assert health["status"] == "unhealthy"
    assert list(health["databases"]) == ["shop", "orders"]
    assert health["databases"]["shop"]["status"] == "healthy"
    assert health["databases"]["orders"]["reason"] == "refused"


async def test_healthy_databases_get_200(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up, "again": up})) as client:
        response = await client.get("/health/db")
    assert response.status_code == 200
    assert response.json()["status"] == "healthy"


async def test_no_databases_are_healthy() -> None:
    async with open_client(build_app({})) as client:
        response = await client.get("/health/db")
    assert response.status_code == 200
    assert response.json() == {"status": "healthy", "databases": {}}


async def test_an_unknown_database_gets_404_with_the_names(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up, "orders": up})) as client:
        response = await client.get("/health/db/shpo")
    assert response.status_code == 404
    assert response.json() == {"error": "no database 'shpo'", "databases": ["shop", "orders"]}


async def test_a_pool_without_a_size_has_null_as_its_size(up: dict[str, Any]) -> None:
    null = {**up, "pool": {"class": "null"}}
    async with open_client(build_app({"shop": null})) as client:
        health = (await client.get("/health/db/shop")).json()
    assert health["pool_size"] is None
    assert health["pool_checked_out"] == 0


async def test_requests_at_the_same_time_share_one_check(silent_port: int) -> None:
    app = build_app({"shop": {**build_down(silent_port), "probe": {"timeout": "500ms"}}})
    async with open_client(app) as client:
        probe = read_service(app).probes.get("shop")
        paths = ["/health/db", "/health/db/shop"] * 10
        responses = await asyncio.gather(*(client.get(path) for path in paths))
        assert [response.status_code for response in responses] == [503] * 20
        assert sum(probe.probes_total.values()) == 1
    moments = {response.json()["checked_at"] for response in responses[1::2]}
    assert len(moments) == 1


async def test_hanging_databases_are_checked_at_the_same_time(silent_port: int) -> None:
    down = {**build_down(silent_port), "probe": {"timeout": "1s"}}
    app = build_app({f"shop{number}": down for number in range(20)})
    async with open_client(app) as client, asyncio.timeout(15):
        health = (await client.get("/health/db")).json()
    assert {each["reason"] for each in health["databases"].values()} == {"timeout"}


async def test_nothing_is_checked_before_the_start(up: dict[str, Any]) -> None:
    app = build_app({"shop": up})
    async with connect(app) as client:
        responses = [await client.get(path) for path in ("/health/db", "/health/db/shop")]
    for response in responses:
        assert response.status_code == 503
        assert response.json()["status"] == "unhealthy"
        assert response.json()["error"] == "the exporter is starting"
    assert list(read_service(app).databases) == []


async def test_a_request_that_waits_when_the_exporter_stops_gets_503(silent_port: int) -> None:
    app = build_app({"shop": build_down(silent_port)})
    async with connect(app) as client, asyncio.timeout(15):
        async with app.router.lifespan_context(app):
            waiting = asyncio.create_task(client.get("/health/db"))
            alone = asyncio.create_task(client.get("/health/db/shop"))
            await wait_for(lambda: count_waiting() == 2)
        responses: list[httpx.Response] = [await waiting, await alone]
    for response in responses:
        assert response.status_code == 503
        assert response.json()["error"] == "the exporter is stopping"


async def test_a_cancelled_request_does_not_cancel_the_check_of_others(silent_port: int) -> None:
    app = build_app({"shop": {**build_down(silent_port), "probe": {"timeout": "1s"}}})
    async with open_client(app) as client:
        impatient = asyncio.create_task(client.get("/health/db/shop"))
        patient = asyncio.create_task(client.get("/health/db/shop"))
        await wait_for(lambda: count_waiting() == 2)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert (await patient).json()["reason"] == "timeout"
