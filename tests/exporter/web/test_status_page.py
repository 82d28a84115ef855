"""The page for people who open the exporter's address."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.failures import Failure, Reason
from sqlalchemy_pool_exporter.probes.check import Check, Kind
from sqlalchemy_pool_exporter.web.responses import PATHS
from sqlalchemy_pool_exporter.web.status_page import MAX_ROWS, build_page
from sqlalchemy_pool_metrics import PoolDescription
from tests.exporter.app_workers import run_worker
from tests.exporter.shared_files.shared_files import POOL, SharedFile
from tests.exporter.web.clients import CANARY, build_app, build_down, open_client, read_service
from tests.exporter.web.pages import Page

pytestmark = pytest.mark.anyio

TITLES = [
    "Pool",
    "Database",
    "Application",
    "Processes",
    "In\xa0use\xa0/ max",
    "Waiting",
    "Timeouts so\xa0far",
]


async def test_the_page_shows_version_databases_and_paths(
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


async def test_every_link_of_the_page_works(up: dict[str, Any]) -> None:
    async with open_client(build_app({"shop": up})) as client:
        links = Page((await client.get("/")).text).links
        for link in links:
            assert (await client.get(f"/{link}")).status_code == 200, link
    assert "health/db/shop" in links
    assert "metrics" in links


async def test_the_page_loads_nothing_else() -> None:
    async with open_client(build_app({})) as client:
        response = await client.get("/")
    assert Page(response.text).tags.isdisjoint({"script", "img", "link", "iframe", "form"})
    assert not re.search(r"https?:|url\(|@import", response.text)
    assert "prefers-color-scheme: dark" in response.text


async def test_the_page_leaves_out_empty_parts(up: dict[str, Any]) -> None:
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


async def test_a_database_that_has_not_been_probed_is_not_down(up: dict[str, Any]) -> None:
    probes = read_service(build_app({"shop": up})).probes
    assert "shop not probed yet" in Page(build_page(probes.probes.values())).text


async def test_a_servers_message_is_escaped(up: dict[str, Any]) -> None:
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


async def load(folder: Path, databases: Mapping[str, Any] | None = None, **keys: Any) -> str:
    app = build_app(databases or {}, app={"dir": str(folder), **keys})
    async with open_client(app) as client:
        response = await client.get("/")
    assert response.status_code == 200
    return response.text


async def read_pools(folder: Path, **keys: Any) -> list[list[str]]:
    """The rows of the table, without its head."""
    rows = [row for row in Page(await load(folder, **keys)).rows if len(row) == len(TITLES)]
    assert rows.pop(0) == TITLES
    return rows


def share(folder: Path, pool: PoolDescription = POOL, **slots: int) -> SharedFile:
    shared = SharedFile(folder, pool)
    for name, value in slots.items():
        shared.set(name, value)
    return shared


@pytest.mark.parametrize("per_process", [False, True])
async def test_a_pool_is_summed_over_processes(tmp_path: Path, per_process: bool) -> None:
    share(tmp_path, held_spilled=15, waiting_spilled=2, checkout_failures_timeout=40)
    share(tmp_path, held_spilled=3, checkout_failures_timeout=1)
    share(tmp_path, checkout_failures_timeout=1).end()
    assert await read_pools(tmp_path, per_process=per_process) == [
        ["main", "orders", "shop", "2", "18 / 30", "2", "42"]
    ]


async def test_a_real_process_is_shown(tmp_path: Path) -> None:
    with run_worker(tmp_path, pool="orders") as worker:
        worker.do("checkout", "checkout", "return")
        ((name, _, application, *numbers),) = await read_pools(tmp_path)
    assert (name, application, numbers) == ("orders", "shop", ["1", "1 / 5", "0", "0"])


async def test_a_pool_has_the_database_name_that_metrics_have(
    tmp_path: Path, closed_port: int
) -> None:
    share(tmp_path, replace(POOL, host="127.0.0.1", port=closed_port, database="shop"))
    html = await load(tmp_path, {"primary": build_down(closed_port)})
    assert ["main", "primary", "shop", "1", "0 / 15", "0", "0"] in Page(html).rows


async def test_numbers_that_a_pool_does_not_have_are_left_out(tmp_path: Path) -> None:
    share(tmp_path, replace(POOL, max_connections=None, waits=False), held_spilled=3)
    assert await read_pools(tmp_path) == [["main", "orders", "shop", "1", "3", "", "0"]]


async def test_pools_without_processes_have_ended_and_come_last(tmp_path: Path) -> None:
    share(tmp_path, replace(POOL, name="a"), held_spilled=3, checkout_failures_timeout=7).end()
    share(tmp_path, replace(POOL, name="b"))
    assert await read_pools(tmp_path) == [
        ["b", "orders", "shop", "1", "0 / 15", "0", "0"],
        ["a", "orders", "shop", "ended", "", "", "7"],
    ]


async def test_files_are_counted_by_state(tmp_path: Path) -> None:
    share(tmp_path)
    share(tmp_path).end()
    for number in range(3):
        (tmp_path / f"shop-1-{number:012x}.pool").touch()
    line = f"Files in {tmp_path} : 1 live, 1 dead, 3 unreadable."
    assert line in Page(await load(tmp_path)).text


async def test_a_folder_of_unreadable_files_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / f"shop-1-{1:012x}.pool").touch()
    page = Page(await load(tmp_path))
    assert "0 live, 0 dead, 1 unreadable." in page.text
    assert "no process has written here yet" not in page.text
    assert "Timeouts" not in page.text


async def test_an_empty_folder_names_the_variable_to_set(tmp_path: Path) -> None:
    text = Page(await load(tmp_path)).text
    assert f"{tmp_path} : no process has written here yet." in text
    assert "see SQLALCHEMY_POOL_METRICS_DIR and docs/application.md" in text
    assert "Timeouts" not in text


async def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    text = Page(await load(tmp_path / "pools")).text
    assert f"{tmp_path}/pools cannot be read: No such file or directory." in text
    assert "no process has written here yet" not in text


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "\"quoted\" 'twice' & </td></table>",
        "two\nlines\u202e and turned",
        "$rows ${folder} $$",
        "שלום",
        "",
    ],
)
async def test_names_are_escaped(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pools <b> & $pools"
    folder.mkdir()
    share(folder, replace(POOL, name=name, database=name, application=name))
    html = await load(folder)
    page = Page(html)
    shown = name.replace("\n", "\ufffd").replace("\u202e", "\ufffd")
    # An empty text is not in the file; then the pool has the name that one has without a name.
    assert [shown or "default", shown, shown, "1", "0 / 15", "0", "0"] in page.rows
    assert page.tags.isdisjoint({"script", "b"})
    assert f"Files in {folder} : 1 live" in page.text
    assert html.count("<table") == html.count("</table>") == 2


async def test_the_longest_name_is_shown_whole(tmp_path: Path) -> None:
    share(tmp_path, replace(POOL, name="x" * 255))
    assert (await read_pools(tmp_path))[0][0] == "x" * 255


async def test_pools_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    """Files have room for 15 each."""
    for first in range(0, MAX_ROWS + 5, 15):
        numbers = range(first, first + 15)
        SharedFile(tmp_path, *(replace(POOL, name=f"pool {number:03}") for number in numbers))
    page = Page(await load(tmp_path))
    names = [row[0] for row in page.rows if row[0].startswith("pool ")]
    assert names == [f"pool {number:03}" for number in range(MAX_ROWS)]
    assert "… and 5 more, see /metrics" in page.text


async def test_pools_up_to_the_limit_are_all_shown(tmp_path: Path) -> None:
    share(tmp_path)
    assert "more, see" not in Page(await load(tmp_path)).text
