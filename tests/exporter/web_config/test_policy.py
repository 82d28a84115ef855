"""The web configuration in force: read, replaced, and kept when the new one is not valid."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.settings import SettingsErrors
from sqlalchemy_pool_exporter.web_config import read_web_file
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy
from tests.exporter.waiting import wait_for

pytestmark = pytest.mark.anyio

HEADERS = "http_server_config: {headers: {X-Frame-Options: deny}}\n"


async def test_a_reload_reports_whether_anything_changed(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("")
    policy = WebPolicy(file)
    assert not await policy.reload()
    file.write_text(HEADERS)
    assert await policy.reload()
    assert policy.headers["X-Frame-Options"] == "deny"


async def test_an_invalid_file_leaves_the_old_policy_in_force(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(HEADERS)
    policy = WebPolicy(file)
    file.write_text("{")
    with pytest.raises(SettingsErrors):
        await policy.reload()
    assert policy.headers["X-Frame-Options"] == "deny"
    assert policy.list_files() == [file]


async def test_all_are_denied_until_a_valid_file_is_adopted(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("{")
    policy = WebPolicy(None, deny_all=True)
    with pytest.raises(SettingsErrors):
        await policy.adopt(file)
    assert policy.deny_all
    assert policy.list_files() == [file]
    assert not await policy.reload()
    file.write_text(HEADERS)
    await policy.adopt(file)
    assert not policy.deny_all
    assert policy.headers["X-Frame-Options"] == "deny"
    await policy.adopt(None)
    assert policy.file == file


async def test_a_read_that_hangs_is_joined_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("")
    policy = WebPolicy(file)
    release = threading.Event()
    reads = 0

    def hang(path: Path) -> object:
        nonlocal reads
        reads += 1
        release.wait(20)
        return read_web_file(path)

    monkeypatch.setattr("sqlalchemy_pool_exporter.web_config.policy.read_web_file", hang)
    first, second = (asyncio.create_task(policy.reload()) for _ in range(2))
    await wait_for(lambda: reads == 1)
    release.set()
    assert [await first, await second] == [False, False]
    assert reads == 1
