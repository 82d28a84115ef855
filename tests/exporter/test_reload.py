"""Settings that change while the exporter runs: what is taken over, and what is left alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.reload import Reloader, ReloadError, Source, read_fingerprints
from sqlalchemy_pool_exporter.service import State
from sqlalchemy_pool_exporter.settings import Settings, load_bootstrap, load_settings
from sqlalchemy_pool_exporter.settings.messages import describe_validation_error
from sqlalchemy_pool_exporter.web.app import create_app
from tests.exporter.open_databases import plain_url
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import (
    CANARY,
    Databases,
    build_down,
    open_client,
    read_service,
)
from tests.servers.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio

RELOAD = "/-/reload"
SUCCESSFUL = "sqlalchemy_pool_exporter_config_last_reload_successful"


class Changing:
    """Settings that a test changes between two reloads; they are in no file."""

    def __init__(self, databases: Databases, **keys: Any) -> None:
        self.keys: dict[str, Any] = {"probe": {"interval": "1h", "timeout": "20s"}, **keys}
        self.databases = dict(databases)

    def load(self) -> Settings:
        data = {"databases": self.databases, "web": {"enable_lifecycle": True}, **self.keys}
        data.setdefault("app", {"dir": "/nonexistent"})
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            raise describe_validation_error(error, {}) from None

    def load_without_databases(self) -> Settings:
        """As `load`, without the databases that these tests have wrong."""
        databases, self.databases = self.databases, {}
        try:
            return self.load()
        finally:
            self.databases = databases

    def build_app(self) -> Starlette:
        return create_app(self.load(), Source(self.load, list))

    def build_waiting_app(self) -> Starlette:
        return create_app(
            load_bootstrap(None, {}),
            Source(self.load, list, load_without_databases=self.load_without_databases),
        )


async def read_samples(client: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    """Samples by their name and database; of those with more labels the sum."""
    samples: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families((await client.get("/metrics")).text):
        for sample in family.samples:
            key = sample.name, sample.labels.get("database", "")
            samples[key] = samples.get(key, 0) + sample.value
    return samples


def pick(samples: Mapping[tuple[str, str], float], database: str) -> dict[str, float]:
    return {name: value for (name, each), value in samples.items() if each == database}


async def test_others_go_on_counting_while_databases_come_change_and_go(
    up: dict[str, Any],
) -> None:
    changing = Changing({"stays": up, "changes": up, "goes": up})
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
        name: value for name, value in pick(before, "stays").items() if not name.endswith("age")
    }
    assert counters.items() <= pick(after, "stays").items()
    assert pick(after, "stays")["sqlalchemy_database_probes_total"] >= 3
    assert pick(after, "goes") == {}
    assert pick(after, "comes")["sqlalchemy_database_up"] == 1
    assert pick(after, "changes")["sqlalchemy_database_role_mismatch"] == 0


async def test_a_database_is_not_shown_down_because_its_settings_changed(
    postgres: EmbeddedPostgres,
) -> None:
    """Its first probe is over before it takes the place of the old one."""
    shop = {"url": plain_url(postgres)}
    changing = Changing({"shop": shop})
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


async def test_settings_that_cannot_be_used_leave_everything_as_it_was(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    changing = Changing({"shop": up})
    app = changing.build_app()
    async with open_client(app) as client:
        await client.get("/health/db")
        probe = read_service(app).probes.get("shop")
        changing.databases["orders"] = {"url": f"nosql://app:{CANARY}@db/orders"}
        with caplog.at_level(logging.ERROR):
            response = await client.post(RELOAD)
        assert read_service(app).probes.get("shop") is probe
        assert (await read_samples(client))[SUCCESSFUL, ""] == 0
        assert "could not be reloaded" in (await client.get("/")).text
        del changing.databases["orders"]
        assert (await client.post(RELOAD)).status_code == 200
        assert (await read_samples(client))[SUCCESSFUL, ""] == 1
        assert "could not be reloaded" not in (await client.get("/")).text
        assert read_service(app).probes.get("shop") is probe
    assert response.status_code == 422
    assert response.text.startswith("configuration not reloaded:\ndatabases.orders.url")
    assert "configuration not reloaded: databases.orders.url" in caplog.text
    assert CANARY not in response.text + caplog.text


async def test_a_removed_database_has_no_connection_left(postgres: EmbeddedPostgres) -> None:
    shop = {"url": plain_url(postgres), "pool": {"size": 2}}
    changing = Changing({"shop": shop, "orders": shop})
    app = changing.build_app()
    async with open_client(app) as client:
        await client.get("/health/db")
        await client.get("/health/db")  # the first one opens a connection past the pool
        database = read_service(app).engines.get("shop")
        assert database.read_pool().checked_in == 1
        del changing.databases["shop"]
        await client.post(RELOAD)
        await wait_for(lambda: database.read_pool().checked_in == 0)
        assert read_service(app).engines.get("orders").read_pool().checked_in == 1
        assert (await client.get("/health/db/shop")).status_code == 404


async def test_who_waits_for_a_removed_database_is_still_answered(silent_port: int) -> None:
    shop = {**build_down(silent_port), "probe": {"timeout": "300ms"}}
    changing = Changing({"shop": shop})
    app = changing.build_app()
    async with open_client(app) as client:
        waiting = asyncio.create_task(client.get("/health/db/shop"))
        await asyncio.sleep(0)
        changing.databases = {}
        assert (await client.post(RELOAD)).status_code == 200
        response = await waiting
    assert response.status_code == 503
    assert response.json()["reason"] == "timeout"


async def test_a_service_that_is_stopped_meanwhile_takes_nothing_over(silent_port: int) -> None:
    changing = Changing({})
    service = read_service(changing.build_app())
    await service.start()
    changing.databases["shop"] = build_down(silent_port)
    reload = asyncio.create_task(service.reloads.reload())
    await wait_for(lambda: any(each.get_name() == "probe of shop" for each in asyncio.all_tasks()))
    await service.stop()
    with pytest.raises(ReloadError, match="the exporter is stopping"):
        await reload
    assert service.probes.probes == {}
    assert not [each for each in asyncio.all_tasks() if "shop" in each.get_name()]


async def test_recreating_what_a_reload_replaces_says_so(up: dict[str, Any]) -> None:
    changing = Changing({"shop": up})
    app = changing.build_app()
    async with open_client(app) as client:
        database = read_service(app).engines.get("shop")

        async def be_replaced() -> None:
            changing.databases["shop"] = {**up, "role": "primary"}
            assert (await client.post(RELOAD)).status_code == 200
            raise ConnectionAbortedError

        database.recreate = be_replaced  # type: ignore[method-assign]
        response = await client.post("/-/databases/shop/recreate")
    assert response.status_code == 409
    assert "a reload has replaced the database" in response.json()["error"]


async def test_many_reloads_at_once_are_made_one_after_the_other(up: dict[str, Any]) -> None:
    changing = Changing({"shop": up})
    app = changing.build_app()
    async with open_client(app) as client:
        for number in range(5):
            changing.databases[f"shop{number}"] = up
            responses = await asyncio.gather(*(client.post(RELOAD) for _ in range(5)))
            assert {response.status_code for response in responses} == {200}
        assert len((await client.get("/health/db")).json()["databases"]) == 6


async def test_the_folder_of_the_application_and_the_log_follow(
    up: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    changing = Changing({"shop": up}, app={"dir": str(tmp_path)})
    app = changing.build_app()
    service = read_service(app)
    async with open_client(app) as client:
        folder = service.shared_folder
        await client.post(RELOAD)
        assert service.shared_folder is folder  # what it has logged it does not log again
        changing.keys |= {"app": {"dir": str(tmp_path / "other")}, "listen": "127.0.0.1:1"}
        await client.post(RELOAD)
    assert service.shared_folder.path == tmp_path / "other"
    assert "listen changed; restart the exporter to serve there" in caplog.text


async def test_an_url_file_that_names_another_driver_needs_a_reload(
    up: dict[str, Any], tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    file = tmp_path / "url"
    file.write_text(up["url"])
    changing = Changing({"shop": {"url_file": str(file)}})
    async with open_client(changing.build_app()) as client:
        assert (await client.get("/health/db/shop")).status_code == 200
        file.write_text(plain_url(postgres))
        assert (await client.post(RELOAD)).text == "configuration reloaded: changed shop\n"
        metrics = (await client.get("/metrics")).text
    assert 'dialect="postgresql",driver="asyncpg"' in metrics


async def test_without_lifecycle_reloading_is_forbidden(up: dict[str, Any]) -> None:
    changing = Changing({"shop": up})
    app = changing.build_app()
    async with open_client(app) as client:
        changing.keys["web"] = {"enable_lifecycle": False}
        assert (await client.post(RELOAD)).status_code == 200
        response = await client.post(RELOAD)
    assert response.status_code == 403
    assert "--web.enable-lifecycle" in response.text


async def test_a_changed_file_is_taken_over_by_itself(up: dict[str, Any], tmp_path: Path) -> None:
    """As Kubernetes changes a ConfigMap: the folder that a link leads to is another one."""
    for version, names in (("1", ["shop"]), ("2", ["shop", "orders"])):
        (tmp_path / version).mkdir()
        lines = [f"  {name}: {{url: '{up['url']}'}}\n" for name in names]
        (tmp_path / version / "exporter.yaml").write_text("".join(["databases:\n", *lines]))
    (tmp_path / "..data").symlink_to("1")
    file = tmp_path / "exporter.yaml"
    file.symlink_to("..data/exporter.yaml")
    source = Source(
        lambda: load_settings(file, {}),
        lambda: [file],
        read_fingerprints([file]),
        interval_seconds=0.01,
    )
    app = create_app(source.load(), source)
    service = read_service(app)
    async with open_client(app):
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").rename(tmp_path / "..data")
        await wait_for(lambda: service.engines.names() == ("shop", "orders"))


async def test_the_web_configuration_is_read_anew_with_the_other(
    up: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("")
    web = {"enable_lifecycle": True, "config_file": str(file)}
    changing = Changing({"shop": up}, web=web)
    async with open_client(changing.build_app()) as client:
        file.write_text("http_server_config: {headers: {X-Frame-Options: deny}}\n")
        response = await client.post(RELOAD)
        assert response.text == "configuration reloaded: web configuration\n"
        file.write_text("http_server_config: {colour: red}\n")
        changing.databases["orders"] = up
        response = await client.post(RELOAD)
        health = (await client.get("/health/db")).json()
    assert response.status_code == 422
    assert "http_server_config.colour" in response.text
    assert response.headers["x-frame-options"] == "deny"
    assert list(health["databases"]) == ["shop"]


async def test_what_could_not_be_used_is_tried_again_until_it_can(
    up: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kubernetes mounts a ConfigMap and the Secret that it names in any order."""
    changing = Changing({"shop": up})
    app = create_app(changing.load(), Source(changing.load, list, interval_seconds=0.01))
    service = read_service(app)
    secret = tmp_path / "url"
    async with open_client(app) as client:
        changing.databases["orders"] = {"url_file": str(secret)}
        assert (await client.post(RELOAD)).status_code == 422
        assert (await client.post(RELOAD)).status_code == 422
        secret.write_text(up["url"])
        await wait_for(lambda: service.engines.names() == ("shop", "orders"))
        assert service.reloads.is_successful
    told = [message for message in caplog.messages if message.startswith("configuration not")]
    assert len(told) == 2, "one for each who asked, none for those who did not"


async def test_reloads_in_quick_succession_end_each_probe_once(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    changing = Changing({"shop": up})
    service = read_service(changing.build_app())
    await service.start()
    for number in range(20):
        changing.databases = {f"shop{number}": up}
        await asyncio.gather(service.reloads.reload(), service.reloads.reload())
    await service.stop()
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_listener_that_is_configured_back_is_no_change(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    changing = Changing({"shop": up})
    async with open_client(changing.build_app()) as client:
        for listen in ("127.0.0.1:1", "0.0.0.0:9723"):
            changing.keys["listen"] = listen
            await client.post(RELOAD)
    assert len([message for message in caplog.messages if "restart" in message]) == 1


async def test_a_certificate_is_exchanged_whatever_else_is_wrong(
    up: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("")
    changing = Changing({"shop": up}, web={"enable_lifecycle": True, "config_file": str(file)})
    async with open_client(changing.build_app()) as client:
        file.write_text("http_server_config: {headers: {X-Frame-Options: deny}}\n")
        changing.databases["orders"] = {}
        response = await client.post(RELOAD)
    assert response.status_code == 422
    assert response.headers["x-frame-options"] == "deny"


async def test_what_is_waited_for_can_be_asked_for(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    changing = Changing({"shop": {}}, listen="127.0.0.1:1")
    async with open_client(changing.build_waiting_app()) as client:
        response = await client.post(RELOAD)
        assert response.status_code == 422
        assert "databases.shop.url" in response.text
        response = await client.post("/-/databases/shop/recreate")
        assert (response.status_code, "waiting" in response.text) == (503, True)
        changing.databases["shop"] = up
        assert (await client.post(RELOAD)).status_code == 200
        assert (await client.get("/health/db/shop")).status_code == 200
        changing.databases["shop"] = {}
        assert (await client.post(RELOAD)).status_code == 422
        assert "an earlier one is in use" in (await client.get("/")).text
        assert (await client.get("/-/ready")).status_code == 200
    assert "configuration not loaded: databases.shop.url: missing" in caplog.text
    assert "configuration not reloaded: databases.shop.url: missing" in caplog.text
    (told,) = [each for each in caplog.messages if each.startswith("configuration loaded: ")]
    assert told.endswith("added shop; listen changed; restart the exporter to serve there")


async def test_what_is_right_at_the_start_is_waited_for_by_nobody(up: dict[str, Any]) -> None:
    async with open_client(Changing({"shop": up}).build_waiting_app()) as client:
        assert (await client.get("/-/ready")).status_code == 200
        assert (await client.get("/health/db")).status_code == 200


async def test_an_exporter_that_ends_while_it_waits_takes_nothing_over() -> None:
    started, release = threading.Event(), threading.Event()
    changing = Changing({"shop": {}})

    def hang() -> Settings:
        started.set()
        release.wait(20)
        return changing.load_without_databases()

    source = Source(changing.load, list, load_without_databases=hang)
    service = read_service(create_app(load_bootstrap(None, {}), source))
    starting = asyncio.create_task(service.start())
    await wait_for(started.is_set)
    settings = service.settings
    await service.stop()
    release.set()
    await starting
    assert service.settings is settings
    assert service.state is State.STOPPING


async def test_a_reading_that_hangs_is_joined(up: dict[str, Any]) -> None:
    release = threading.Event()
    changing = Changing({"shop": up})

    def hang() -> Settings:
        release.wait(20)
        return changing.load()

    service = read_service(create_app(changing.load(), Source(hang, list)))
    await service.start()

    def count_readers() -> int:
        return sum(t.name == "reading of the configuration" for t in threading.enumerate())

    first, second = (asyncio.create_task(service.reloads.reload()) for _ in range(2))
    await wait_for(lambda: count_readers() > 0)
    first.cancel()
    await asyncio.wait({first})
    assert count_readers() == 1
    release.set()
    assert await second == "nothing changed"
    await service.stop()


async def test_what_was_reloaded_on_request_is_no_change_for_the_watch(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("one")
    looks, renewals = 0, 0

    def list_looked_at() -> list[Path]:
        nonlocal looks
        looks += 1
        return [file]

    async def renew() -> str:
        nonlocal renewals
        renewals += 1
        return "nothing changed"

    reloads = Reloader(renew, list_looked_at, read_fingerprints([file]), interval_seconds=0.01)
    file.write_text("two")
    await reloads.reload()
    watching = asyncio.create_task(reloads.watch())
    await wait_for(lambda: looks >= 4)
    watching.cancel()
    assert renewals == 1
    assert repr(reloads) == "<Reloader successful>"
