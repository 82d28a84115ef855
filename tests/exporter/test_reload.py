"""When the configuration is read again, and what happens when it cannot be used."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from sqlalchemy_pool_exporter.reload import FileWatcher, Reloader
from sqlalchemy_pool_exporter.service import State
from sqlalchemy_pool_exporter.settings import Settings, load_settings
from sqlalchemy_pool_exporter.web.app import create_app
from tests.exporter.changing_source import (
    RELOAD,
    SUCCESSFUL,
    ChangingSource,
    read_reloader,
    read_samples,
)
from tests.exporter.waiting import wait_for
from tests.exporter.web.clients import CANARY, open_client, read_service

pytestmark = pytest.mark.anyio


class FileSource:
    """A configuration file, and how often it was read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.loads = self.polls = self.failures = 0

    def load(self) -> Settings:
        self.loads += 1
        return load_settings(self.file, {})

    def load_without_databases(self) -> Settings:
        raise NotImplementedError

    def list_files(self) -> list[Path]:
        self.polls += 1
        if self.failures:
            self.failures -= 1
            raise RuntimeError("can't start new thread")
        return [self.file]

    def build_app(self, watcher: FileWatcher | None = None) -> Starlette:
        return create_app(self.load(), self, watcher, poll_seconds=0.01)


def write_databases(file: Path, database: dict[str, Any], *names: str) -> Path:
    lines = [f"  {name}: {{url: '{database['url']}'}}\n" for name in names]
    file.write_text("".join(["databases:\n", *lines]))
    return file


@asynccontextmanager
async def open_reloader(source: FileSource) -> AsyncIterator[Reloader]:
    """A reloader that has not started yet; its service runs."""
    app = source.build_app()
    reloader = read_reloader(app)
    await read_service(app).start()
    yield reloader
    reloader.stop()
    await read_service(app).stop()


async def test_invalid_settings_leave_everything_as_it_was(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    changing = ChangingSource({"shop": up})
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


async def test_simultaneous_reloads_run_one_after_the_other(up: dict[str, Any]) -> None:
    changing = ChangingSource({"shop": up})
    app = changing.build_app()
    async with open_client(app) as client:
        for number in range(5):
            changing.databases[f"shop{number}"] = up
            responses = await asyncio.gather(*(client.post(RELOAD) for _ in range(5)))
            assert {response.status_code for response in responses} == {200}
        assert len((await client.get("/health/db")).json()["databases"]) == 6


async def test_a_reload_request_is_forbidden_without_the_lifecycle_option(
    up: dict[str, Any],
) -> None:
    changing = ChangingSource({"shop": up})
    app = changing.build_app()
    async with open_client(app) as client:
        changing.keys["web"] = {"enable_lifecycle": False}
        assert (await client.post(RELOAD)).status_code == 200
        response = await client.post(RELOAD)
    assert response.status_code == 403
    assert "--web.enable-lifecycle" in response.text


async def test_a_changed_file_is_reloaded_without_a_request(
    up: dict[str, Any], tmp_path: Path
) -> None:
    """As Kubernetes changes a ConfigMap: the folder that a link leads to is another one."""
    for version, names in (("1", ["shop"]), ("2", ["shop", "orders"])):
        (tmp_path / version).mkdir()
        write_databases(tmp_path / version / "exporter.yaml", up, *names)
    (tmp_path / "..data").symlink_to("1")
    file = tmp_path / "exporter.yaml"
    file.symlink_to("..data/exporter.yaml")
    app = FileSource(file).build_app()
    service = read_service(app)
    async with open_client(app):
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").rename(tmp_path / "..data")
        await wait_for(lambda: [each.name for each in service.databases] == ["shop", "orders"])


async def test_the_web_configuration_is_reloaded_with_the_settings(
    up: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("")
    web = {"enable_lifecycle": True, "config_file": str(file)}
    changing = ChangingSource({"shop": up}, web=web)
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


async def test_an_invalid_configuration_is_tried_again_until_it_is_valid(
    up: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kubernetes mounts a ConfigMap and the Secret that it names in any order."""
    changing = ChangingSource({"shop": up})
    app = changing.build_app(poll_seconds=0.01)
    service = read_service(app)
    secret = tmp_path / "url"
    async with open_client(app) as client:
        changing.databases["orders"] = {"url_file": str(secret)}
        assert (await client.post(RELOAD)).status_code == 422
        assert (await client.post(RELOAD)).status_code == 422
        secret.write_text(up["url"])
        await wait_for(lambda: [each.name for each in service.databases] == ["shop", "orders"])
        assert service.reload_status.is_successful
    logged = [message for message in caplog.messages if message.startswith("configuration not")]
    assert len(logged) == 2, "one for each request, none for the tries without one"


async def test_a_web_configuration_is_reloaded_whatever_is_wrong_with_the_settings(
    up: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("")
    changing = ChangingSource(
        {"shop": up}, web={"enable_lifecycle": True, "config_file": str(file)}
    )
    async with open_client(changing.build_app()) as client:
        file.write_text("http_server_config: {headers: {X-Frame-Options: deny}}\n")
        changing.databases["orders"] = {}
        response = await client.post(RELOAD)
    assert response.status_code == 422
    assert response.headers["x-frame-options"] == "deny"


async def test_a_configuration_that_is_waited_for_can_be_loaded_on_request(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    changing = ChangingSource({"shop": {}}, listen="127.0.0.1:1")
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
    (loaded,) = [each for each in caplog.messages if each.startswith("configuration loaded: ")]
    assert loaded.endswith("added shop; listen changed; restart the exporter to serve there")


async def test_a_valid_configuration_is_loaded_before_the_start_ends(up: dict[str, Any]) -> None:
    async with open_client(ChangingSource({"shop": up}).build_waiting_app()) as client:
        assert (await client.get("/-/ready")).status_code == 200
        assert (await client.get("/health/db")).status_code == 200


async def test_an_exporter_that_stops_while_it_waits_applies_nothing() -> None:
    started, release = threading.Event(), threading.Event()
    changing = ChangingSource({"shop": {}})

    load = changing.load_without_databases

    def hang() -> Settings:
        started.set()
        release.wait(20)
        return load()

    changing.load_without_databases = hang  # type: ignore[method-assign]
    app = changing.build_waiting_app()
    service, reloader = read_service(app), read_reloader(app)
    await service.start()
    starting = asyncio.create_task(reloader.start())
    await wait_for(started.is_set)
    settings = service.settings
    await service.stop()
    release.set()
    await starting
    reloader.stop()
    assert service.settings is settings
    assert service.state is State.STOPPING


async def test_a_read_that_hangs_is_joined_by_the_next_reload(up: dict[str, Any]) -> None:
    release = threading.Event()
    changing = ChangingSource({"shop": up})
    app = changing.build_app()
    service, reloader = read_service(app), read_reloader(app)
    await service.start()
    load = changing.load

    def hang() -> Settings:
        release.wait(20)
        return load()

    changing.load = hang  # type: ignore[method-assign]

    def count_readers() -> int:
        return sum(t.name == "configuration: loading" for t in threading.enumerate())

    first, second = (asyncio.create_task(reloader.reload()) for _ in range(2))
    await wait_for(lambda: count_readers() > 0)
    first.cancel()
    await asyncio.wait({first})
    assert count_readers() == 1
    release.set()
    assert await second == "nothing changed"
    await service.stop()


async def test_files_that_cannot_be_read_in_time_are_a_failed_reload(
    up: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.reload.READ_SECONDS", 0.05)
    release = threading.Event()
    changing = ChangingSource({"shop": up})
    async with open_client(changing.build_app()) as client:
        changing.list_files = lambda: [Path("/")] * release.wait(20)  # type: ignore[method-assign]
        response = await client.post(RELOAD)
        release.set()
        assert (await read_samples(client))[SUCCESSFUL, ""] == 0
    assert response.status_code == 422
    assert "could not be read within 0.05 s" in response.text


async def test_an_internal_error_is_logged_with_its_traceback_and_changes_nothing(
    up: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    changing = ChangingSource({"shop": up})

    def fail() -> Settings:
        raise ZeroDivisionError

    async with open_client(changing.build_app()) as client:
        changing.load = fail  # type: ignore[method-assign]
        response = await client.post(RELOAD)
        assert list((await client.get("/health/db")).json()["databases"]) == ["shop"]
    assert response.status_code == 422
    assert "internal error" in response.text
    assert [each.exc_info for each in caplog.records if each.exc_info]


async def test_a_change_while_the_first_configuration_is_read_is_noticed(
    up: dict[str, Any], tmp_path: Path
) -> None:
    file = write_databases(tmp_path / "exporter.yaml", up, "shop")
    watcher = FileWatcher()
    watcher.add([file])
    app = FileSource(file).build_app(watcher)
    write_databases(file, up, "shop", "orders")
    async with open_client(app):
        await wait_for(
            lambda: [each.name for each in read_service(app).databases] == ["shop", "orders"]
        )


async def test_a_file_that_was_reloaded_on_request_is_not_reloaded_again(
    up: dict[str, Any], tmp_path: Path
) -> None:
    source = FileSource(write_databases(tmp_path / "exporter.yaml", up, "shop"))
    async with open_reloader(source) as reloader:
        write_databases(source.file, up, "orders")
        assert await reloader.reload() == "added orders; removed shop"
        await reloader.start()
        await wait_for(lambda: source.polls >= 4)
    assert source.loads == 2
    assert repr(reloader) == "<Reloader successful>"


async def test_a_watch_that_fails_is_logged_once_and_continues(
    up: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = FileSource(write_databases(tmp_path / "exporter.yaml", up, "shop"))
    async with open_reloader(source) as reloader:
        source.failures = 3
        write_databases(source.file, up, "orders")
        await reloader.start()
        await wait_for(lambda: source.loads == 2)
    assert [each for each in caplog.messages if "watch" in each] == ["files cannot be watched"]
