"""A scrape: from memory, in the requested format, whatever the databases do."""

import asyncio
import gzip
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.exporter.web.clients import CANARY, build_app, build_down, open_client, read_service

pytestmark = pytest.mark.anyio

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
FAMILIES = {
    "sqlalchemy_pool_size",
    "sqlalchemy_pool_checkouts",
    "sqlalchemy_pool_hold_duration_seconds",
    "sqlalchemy_database_up",
    "sqlalchemy_database_probes",
    "sqlalchemy_database_probe_duration_seconds",
    "sqlalchemy_pool_exporter_build_info",
    "sqlalchemy_pool_exporter_config_last_reload_successful",
    "sqlalchemy_pool_exporter_config_last_reload_success_timestamp_seconds",
    "sqlalchemy_pool_exporter_collector_duration_seconds",
    "sqlalchemy_pool_exporter_collector_success",
    "process_resident_memory_bytes",
    "process_cpu_seconds",
    "python_info",
}


def parse(response: httpx.Response) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples by name and labels; a parser complains about what is not in its format."""
    is_openmetrics = response.headers["content-type"].startswith("application/openmetrics-text")
    families = list((parse_openmetrics if is_openmetrics else parse_text)(response.text))
    assert {family.name for family in families} >= FAMILIES
    samples = [sample for family in families for sample in family.samples]
    found = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert len(found) == len(samples), "a series twice"
    return found


def read(response: httpx.Response, name: str, **labels: str) -> float | None:
    return parse(response).get((name, frozenset(labels.items())))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
async def test_each_format_is_read_by_its_parser(
    accept: str, content_type: str, up: dict[str, Any]
) -> None:
    async with open_client(build_app({"shop": up})) as client:
        await client.get("/health/db")
        response = await client.get("/metrics", headers={"Accept": accept})
    assert response.headers["content-type"].startswith(content_type)
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    assert read(response, "sqlalchemy_database_up", database="shop") == 1
    labels = {"origin": "probe", "pool": "shop", "database": "shop", "application": ""}
    assert read(response, "sqlalchemy_pool_size", **labels) == 1
    assert (read(response, "sqlalchemy_pool_connections_opened_total", **labels) or 0) >= 0


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_the_body_is_compressed_on_request(encoding: str) -> None:
    async with open_client(build_app({})) as client:
        headers = {"Accept-Encoding": encoding}
        async with client.stream("GET", "/metrics", headers=headers) as response:
            raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers.get("content-encoding") == (None if encoding == "identity" else "gzip")
    assert int(response.headers["content-length"]) == len(raw)
    body = gzip.decompress(raw) if encoding == "gzip" else raw
    assert body.startswith(b"# HELP ")


async def test_a_scrape_is_complete_while_databases_hang_or_fail(
    up: dict[str, Any], silent_port: int, closed_port: int
) -> None:
    app = build_app(
        {
            "shop": up,
            "silent": build_down(silent_port),
            "closed": build_down(closed_port),
            "hanging": build_down(silent_port, "mysql+pymysql"),
        }
    )
    async with open_client(app) as client, asyncio.timeout(15):
        await client.get("/health/db/shop")
        await client.get("/health/db/closed")
        response = await client.get("/metrics")
    for name, up_value in {"shop": 1, "silent": 0, "closed": 0, "hanging": 0}.items():
        assert read(response, "sqlalchemy_database_up", database=name) == up_value
    errors = "sqlalchemy_database_probe_errors_total"
    assert (read(response, errors, database="closed", reason="refused") or 0) >= 1
    assert read(response, errors, database="closed", reason="dns") == 0
    assert CANARY not in response.text


async def test_a_scrape_probes_nothing(up: dict[str, Any]) -> None:
    app = build_app({"shop": up})
    async with open_client(app) as client:
        await client.get("/health/db")
        probe = read_service(app).probes.get("shop")
        before = probe.last, dict(probe.probes_total), probe.database.read_pool().checkouts
        for _ in range(5):
            await client.get("/metrics")
        assert before == (probe.last, probe.probes_total, probe.database.read_pool().checkouts)


async def test_every_collector_succeeds(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up})) as client:
        response = await client.get("/metrics")
    for collector in ("pool", "database", "exporter", "process", "python"):
        name = "sqlalchemy_pool_exporter_collector_success"
        assert read(response, name, collector=collector) == 1


async def test_a_broken_collector_does_not_fail_the_scrape(
    up: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_app({"shop": up})
    async with open_client(app) as client:
        monkeypatch.setattr(read_service(app).probes.get("shop").database, "read_pool", None)
        text = (await client.get("/metrics")).text
    assert 'sqlalchemy_pool_exporter_collector_success{collector="pool"} 0.0\n' in text
    assert 'sqlalchemy_database_up{database="shop"}' in text
    assert "sqlalchemy_pool_size" not in text


async def test_configured_labels_are_on_every_series_of_a_database(up: dict[str, Any]) -> None:
    databases = {"shop": {**up, "labels": {"team": "sales"}}, "orders": up}
    async with open_client(build_app(databases)) as client:
        response = await client.get("/metrics")
    assert read(response, "sqlalchemy_database_up", database="shop", team="sales") is not None
    assert read(response, "sqlalchemy_database_up", database="orders", team="") is not None


async def test_only_families_requested_by_name_are_shown() -> None:
    async with open_client(build_app({})) as client:
        names = {"name[]": ["python_info", "process_cpu_seconds_total", "nonsense"]}
        response = await client.get("/metrics", params=names)
    families = {family.name for family in parse_text(response.text)}
    assert families == {"python_info", "process_cpu_seconds"}


async def test_the_global_registry_is_not_used(up: dict[str, Any]) -> None:
    before = {family.name for family in REGISTRY.collect()}
    async with open_client(build_app({"shop": up})) as client:
        text = (await client.get("/metrics")).text
    assert {family.name for family in REGISTRY.collect()} == before
    assert "python_gc_" not in text
