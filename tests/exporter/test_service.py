"""How the service starts and stops, and how it applies settings while it runs."""

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter.reload import ReloadError
from sqlalchemy_pool_exporter.service import State
from tests.exporter.changing_source import (
    RELOAD,
    ChangingSource,
    pick_database,
    read_reloader,
    read_samples,
)
from tests.exporter.open_databases import plain_url
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import build_app, build_down, open_client, read_service
from tests.servers.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio


async def test_the_services_repr_has_its_state(up: dict[str, Any]) -> None:
    service = read_service(build_app({"shop": up}))
    assert repr(service) == "<Service starting <ProbeSet 0 of 0 up>>"
    await service.build_databases()
    assert repr(service) == "<Service starting <ProbeSet 0 of 1 up>>"
    await service.start()
    await service.probes.get("shop").check()
    assert repr(service) == "<Service ready <ProbeSet 1 of 1 up>>"
    await service.stop()
    assert service.state is State.STOPPING


async def test_stopping_twice_waits_for_the_first(silent_port: int) -> None:
    service = read_service(build_app({"shop": build_down(silent_port)}))
    await service.start()
    async with asyncio.timeout(15):
        await asyncio.gather(service.stop(), service.stop())
    assert list(service.databases) == []


async def test_a_stop_leaves_no_connection_open(
    up: dict[str, Any],
) -> None:
    service = read_service(build_app({"shop": up}))
    await service.start()
    database = service.databases.get("shop")
    assert (await service.probes.get("shop").check()).ok
    await service.stop()
    assert database.read_pool().checked_in == 0
    assert database.read_pool().checked_out == 0


async def test_unchanged_databases_keep_their_counters_while_others_change(
    up: dict[str, Any],
) -> None:
    changing = ChangingSource({"stays": up, "changes": up, "goes": up})
    async with open_client(changing.build_app()) as client:
        for _ in range(3):
            await client.get("/health/db")
        before = await read_samples(client)
        changing.databases |= {"changes": {**up, "role": "primary"}, "comes": up}
        del changing.databases["goes"]
        response = await client.post(RELOAD)
        after = await read_samples(client)
    assert response.text == ("configuration reloaded: added comes; changed changes; removed goes\n")
    assert response.status_code == 200
    counters = {
        name: value
        for name, value in pick_database(before, "stays").items()
        if not name.endswith("age")
    }
    assert counters.items() <= pick_database(after, "stays").items()
    assert pick_database(after, "stays")["sqlalchemy_database_probes_total"] >= 3
    assert pick_database(after, "goes") == {}
    assert pick_database(after, "comes")["sqlalchemy_database_up"] == 1
    assert pick_database(after, "changes")["sqlalchemy_database_role_mismatch"] == 0


async def test_a_database_stays_up_while_its_settings_change(
    postgres: EmbeddedPostgres,
) -> None:
    """Its first probe is over before it takes the place of the old one."""
    shop = {"url": plain_url(postgres)}
    changing = ChangingSource({"shop": shop})
    seen = set()
    async with open_client(changing.build_app()) as client:
        await client.get("/health/db")
        for seconds in range(1, 4):
            changing.databases["shop"] = {**shop, "probe": {"fresh_connection_interval": seconds}}
            reload = asyncio.create_task(client.post(RELOAD))
            while not reload.done():
                await asyncio.sleep(0)  # a client in the same process lets nobody else run
                seen.add((await read_samples(client))["sqlalchemy_database_up", "shop"])
            seen.add((await read_samples(client))["sqlalchemy_database_up", "shop"])
    assert seen == {1}


async def test_a_removed_database_has_no_connection_left(postgres: EmbeddedPostgres) -> None:
    shop = {"url": plain_url(postgres), "pool": {"size": 2}}
    changing = ChangingSource({"shop": shop, "orders": shop})
    app = changing.build_app()
    async with open_client(app) as client:
        await client.get("/health/db")
        await client.get("/health/db")  # the first one opens a connection past the pool
        database = read_service(app).databases.get("shop")
        assert database.read_pool().checked_in == 1
        del changing.databases["shop"]
        await client.post(RELOAD)
        await wait_for(lambda: database.read_pool().checked_in == 0)
        assert read_service(app).databases.get("orders").read_pool().checked_in == 1
        assert (await client.get("/health/db/shop")).status_code == 404


async def test_a_check_of_a_database_that_is_removed_meanwhile_is_answered(
    silent_port: int,
) -> None:
    shop = {**build_down(silent_port), "probe": {"timeout": "300ms"}}
    changing = ChangingSource({"shop": shop})
    app = changing.build_app()
    async with open_client(app) as client:
        waiting = asyncio.create_task(client.get("/health/db/shop"))
        await asyncio.sleep(0)
        changing.databases = {}
        assert (await client.post(RELOAD)).status_code == 200
        response = await waiting
    assert response.status_code == 503
    assert response.json()["reason"] == "timeout"


async def test_a_service_that_is_stopped_during_a_reload_applies_nothing(silent_port: int) -> None:
    changing = ChangingSource({})
    app = changing.build_app()
    service = read_service(app)
    await service.start()
    changing.databases["shop"] = build_down(silent_port)
    reload = asyncio.create_task(read_reloader(app).reload())
    await wait_for(lambda: any(each.get_name() == "probe of shop" for each in asyncio.all_tasks()))
    await service.stop()
    with pytest.raises(ReloadError, match="the exporter is stopping"):
        await reload
    assert service.probes.probes == {}
    assert not [each for each in asyncio.all_tasks() if "shop" in each.get_name()]


async def test_recreating_a_database_that_a_reload_replaces_is_a_conflict(
    up: dict[str, Any],
) -> None:
    changing = ChangingSource({"shop": up})
    app = changing.build_app()
    async with open_client(app) as client:
        database = read_service(app).databases.get("shop")

        async def be_replaced() -> None:
            changing.databases["shop"] = {**up, "role": "primary"}
            assert (await client.post(RELOAD)).status_code == 200
            raise ConnectionAbortedError

        database.recreate = be_replaced  # type: ignore[method-assign]
        response = await client.post("/-/databases/shop/recreate")
    assert response.status_code == 409
    assert "a reload has replaced the database" in response.json()["error"]


async def test_the_folder_of_the_application_follows_its_settings(
    up: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    changing = ChangingSource({"shop": up}, app={"dir": str(tmp_path), "leak_threshold": "1m"})
    app = changing.build_app()
    service = read_service(app)
    async with open_client(app) as client:
        folder = service.shared_folder
        assert folder.leak_threshold == 60
        changing.keys |= {"app": {"dir": str(tmp_path), "leak_threshold": "2m"}}
        await client.post(RELOAD)
        assert service.shared_folder is folder  # what it has logged it does not log again
        assert folder.leak_threshold == 120
        changing.keys |= {"app": {"dir": str(tmp_path / "other")}, "listen": "127.0.0.1:1"}
        await client.post(RELOAD)
    assert service.shared_folder.path == tmp_path / "other"
    assert service.shared_folder.leak_threshold == 300
    assert "listen changed; restart the exporter to serve there" in caplog.text


async def test_the_exporters_own_pools_leave_the_metrics_and_come_back_by_a_reload(
    up: dict[str, Any],
) -> None:
    changing = ChangingSource({"shop": up}, metrics={"probe_pools": False})
    async with open_client(changing.build_app()) as client:
        without = (await client.get("/metrics")).text
        health = (await client.get("/health/db/shop")).json()
        changing.keys |= {"metrics": {"probe_pools": True}}
        await client.post(RELOAD)
        shown = (await client.get("/metrics")).text
    assert 'origin="probe"' not in without
    assert "sqlalchemy_database_up{" in without
    assert "pool_size" in health
    assert 'sqlalchemy_pool_size{application="",database="shop",origin="probe"' in shown


async def test_an_url_file_that_names_another_driver_is_a_changed_database(
    up: dict[str, Any], tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    file = tmp_path / "url"
    file.write_text(up["url"])
    changing = ChangingSource({"shop": {"url_file": str(file)}})
    async with open_client(changing.build_app()) as client:
        assert (await client.get("/health/db/shop")).status_code == 200
        file.write_text(plain_url(postgres))
        assert (await client.post(RELOAD)).text == "configuration reloaded: changed shop\n"
        metrics = (await client.get("/metrics")).text
    assert 'dialect="postgresql",driver="asyncpg"' in metrics


async def test_an_address_that_is_configured_back_is_not_logged(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    changing = ChangingSource({"shop": up})
    async with open_client(changing.build_app()) as client:
        for listen in ("127.0.0.1:1", "0.0.0.0:9723"):
            changing.keys["listen"] = listen
            await client.post(RELOAD)
    assert len([message for message in caplog.messages if "restart" in message]) == 1


async def test_reloads_in_quick_succession_stop_each_probe_once(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    changing = ChangingSource({"shop": up})
    app = changing.build_app()
    service, reloader = read_service(app), read_reloader(app)
    await service.start()
    for number in range(20):
        changing.databases = {f"shop{number}": up}
        await asyncio.gather(reloader.reload(), reloader.reload())
    await service.stop()
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
