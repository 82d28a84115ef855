"""The page for whoever opens the exporter's address."""

import re
from typing import Any

import pytest

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.failures import Failure, Reason
from sqlalchemy_pool_exporter.probes.check import Check, Kind
from sqlalchemy_pool_exporter.web.responses import PATHS
from sqlalchemy_pool_exporter.web.status_page import build_page
from tests.exporter.web.clients import CANARY, build_app, build_down, open_client, read_service
from tests.exporter.web.pages import Page

pytestmark = pytest.mark.anyio


async def test_page_names_version_databases_and_addresses(
    up: dict[str, Any], closed_port: int
) -> None:
    app = build_app({"shop": up, "orders": build_down(closed_port)})
    async with open_client(app) as client:
        await client.get("/health/db")
        response = await client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    assert f"Version {read_version()}" in page.text
    assert "shop up" in page.text
    assert "orders down refused: " in page.text
    assert CANARY not in response.text
    for path, meaning in PATHS.items():
        assert path in page.text
        assert meaning in page.text


async def test_every_link_of_the_page_leads_somewhere(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up})) as client:
        links = Page((await client.get("/")).text).links
        for link in links:
            assert (await client.get(f"/{link}")).status_code == 200, link
    assert "health/db/shop" in links
    assert "metrics" in links


async def test_page_needs_nothing_but_itself() -> None:
    async with open_client(build_app({})) as client:
        response = await client.get("/")
    assert Page(response.text).tags.isdisjoint({"script", "img", "link", "iframe", "form"})
    assert not re.search(r"https?:|url\(|@import", response.text)
    assert "prefers-color-scheme: dark" in response.text


async def test_page_has_only_the_parts_there_is_something_for(up: dict[str, Any]) -> None:
    titles = ("Databases", "Pools of the application")
    for databases, folder, expected in (
        ({"shop": up}, None, [True, False]),
        ({}, "/nonexistent", [False, True]),
        ({"shop": up}, "/nonexistent", [True, True]),
    ):
        async with open_client(build_app(databases, app={"dir": folder})) as client:
            html = (await client.get("/")).text
        assert [f"<h2>{title}</h2>" in html for title in titles] == expected
        assert "None configured" not in html


async def test_database_is_not_called_down_before_it_was_probed(up: dict[str, Any]) -> None:
    probes = read_service(build_app({"shop": up})).probes
    assert "shop not probed yet" in Page(build_page(probes.probes.values())).text


async def test_what_a_server_says_is_shown_and_not_obeyed(up: dict[str, Any]) -> None:
    probe = read_service(build_app({"shop": up})).probes.get("shop")
    message = '<script>alert(1)</script> & "quotes"'
    probe.last = Check(
        ok=False,
        kind=Kind.FRESH,
        failure=Failure(Reason.OTHER, message),
        checked_at=0,
        latency_seconds=0,
        server=None,
        role_mismatch=None,
    )
    html = build_page([probe])
    assert "<script" not in html
    assert f"other: {message}" in Page(html).text
