"""End to end on a real PostgreSQL: settings, engine, probe, answer."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sqlalchemy_pool_exporter.probes.check import Kind, Result
from tests.exporter.app_workers import run_worker
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import build_app, build_down, open_client, read_service
from tests.exporter.web.pages import Page
from tests.servers.accounts import DATABASE, MONITOR, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(postgres: EmbeddedPostgres) -> dict[str, Any]:
    return {"url": postgres.url(DATABASE, *PLAIN, driver="asyncpg")}


async def scrape(client: Any) -> dict[tuple[str, ...], float]:
    """The samples by name and the values of their labels other than the database's name."""
    text = (await client.get("/metrics")).text
    return {
        (sample.name, *(v for k, v in sample.labels.items() if k != "database")): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if sample.labels.get("database") == "shop"
    }


async def test_a_server_that_is_up_is_described(postgres: EmbeddedPostgres) -> None:
    url = postgres.url(DATABASE, *MONITOR, driver="asyncpg")
    async with open_client(build_app({"shop": {"url": url, "role": "primary"}})) as client:
        health = await client.get("/health/db/shop")
        found = await scrape(client)
    assert health.status_code == 200
    assert found["sqlalchemy_database_up",] == 1
    assert found["sqlalchemy_database_writable",] == 1
    assert found["sqlalchemy_database_role_mismatch",] == 0
    assert found["sqlalchemy_database_server_max_connections",] >= 10
    assert found["sqlalchemy_database_server_connections", "active"] >= 1
    assert [key[1:3] for key in found if key[0] == "sqlalchemy_database_info"] == [
        ("postgresql", "asyncpg")
    ]


async def test_a_server_in_another_role_is_up_with_a_role_mismatch(shop: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": {**shop, "role": "replica"}})) as client:
        assert (await client.get("/health/db/shop")).status_code == 200
        found = await scrape(client)
    assert found["sqlalchemy_database_up",] == 1
    assert found["sqlalchemy_database_role_mismatch",] == 1


async def test_an_application_with_a_wrong_password_does_not_look_healthy(
    postgres: EmbeddedPostgres, shop: dict[str, Any], tmp_path: Path
) -> None:
    url = postgres.url(DATABASE, PLAIN.user, "wrong", driver="psycopg")
    app = build_app({"shop": shop}, app={"dir": str(tmp_path)})
    with run_worker(tmp_path, url=url) as worker:
        worker.do(*["fail"] * 30)
        async with open_client(app) as client:
            health = (await client.get("/health/db/shop")).json()
            page = Page((await client.get("/")).text)
    (pool,) = health["application_pools"]
    assert health["status"] == "healthy"
    assert (pool["processes"], pool["checkouts"]) == (1, 0)
    assert (pool["checkout_failures"]["error"], pool["connection_failures"]) == (30, 30)
    assert page.styles["30 error, 30 failed to connect"] == "down"


async def test_recreate_opens_a_new_connection(shop: dict[str, Any]) -> None:
    app = build_app({"shop": shop}, web={"enable_lifecycle": True})
    async with open_client(app) as client:
        database = read_service(app).databases.get("shop")
        await client.get("/health/db/shop")
        await client.get("/health/db/shop")
        before = database.read_pool().connections_opened
        response = await client.post("/-/databases/shop/recreate")
        assert response.status_code == 200
        assert database.read_pool().connections_opened == before + 1


async def test_hanging_databases_hold_up_neither_scrapes_nor_other_databases(
    shop: dict[str, Any], silent_port: int, dropping_port: int
) -> None:
    probe = {"interval": "100ms", "timeout": "100ms"}
    patient = {"interval": "10s", "timeout": "10s"}
    databases = {f"up{number}": {**shop, "probe": probe} for number in range(5)}
    holes = [
        (silent_port, "postgresql+asyncpg"),
        (dropping_port, "postgresql+asyncpg"),
        (silent_port, "postgresql+psycopg"),
        (silent_port, "mysql+pymysql"),
        (dropping_port, "mysql+pymysql"),
    ]
    for number, (port, scheme) in enumerate(holes):
        databases[f"down{number}"] = {**build_down(port, scheme), "probe": patient}
    app = build_app(databases)
    async with open_client(app) as client, asyncio.timeout(60):
        probes = [read_service(app).probes.get(f"up{number}") for number in range(5)]
        await wait_for(
            lambda: all(probe.probes_total[Kind.POOLED, Result.OK] >= 5 for probe in probes)
        )
        started = time.monotonic()
        text = (await client.get("/metrics")).text
        assert time.monotonic() - started < 5
    for name in databases:
        up = float(name.startswith("up"))
        assert f'sqlalchemy_database_up{{database="{name}"}} {up}\n' in text
