"""The page for people who open the exporter's address."""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.failures import Failure, Reason
from sqlalchemy_pool_exporter.probes.check import Check, Kind
from sqlalchemy_pool_exporter.web.responses import PATHS
from sqlalchemy_pool_exporter.web.status_page import (
    MAX_ROWS,
    build_holders,
    build_overdue,
    build_page,
)
from sqlalchemy_pool_metrics import PoolDescription
from sqlalchemy_pool_metrics.slot_buffer import SlotBuffer
from sqlalchemy_pool_metrics.slot_reader import read_snapshot
from sqlalchemy_pool_metrics.snapshot import HolderNumbers, OverdueHold
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
    "Failures so\xa0far",
]
HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" 'twice' & </td></table>",
    "two\nlines\u202e and turned",
    "$rows ${folder} $$",
    "שלום",
    "",
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
    service = read_service(build_app({"shop": up}))
    await service.build_databases()
    assert "shop not probed yet" in Page(build_page(service.probes.probes.values())).text


async def test_a_servers_message_is_escaped(up: dict[str, Any]) -> None:
    service = read_service(build_app({"shop": up}))
    await service.build_databases()
    probe = service.probes.get("shop")
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
    return Page(await load(folder, **keys)).read_table(TITLES)


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
        ["main", "orders", "shop", "2", "18 / 30", "2", "42 timeout"]
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
        ["a", "orders", "shop", "ended", "", "", "7 timeout"],
    ]


async def test_failures_of_every_kind_are_shown(tmp_path: Path) -> None:
    """A wrong password of the application: no pool is full, nobody waits, no timeout."""
    share(tmp_path, checkout_failures_error=10169, connection_failures_auth=10169)
    share(tmp_path, replace(POOL, name="b"), checkout_failures_timeout=1, checkout=1000)
    share(
        tmp_path,
        replace(POOL, name="c"),
        checkout_failures_cancelled=2,
        connection_failures_cancelled=1,
    )
    share(tmp_path, replace(POOL, name="d"), checkout=1000)
    page = Page(await load(tmp_path))
    shown = [row[-1] for row in page.read_table(TITLES)]
    assert shown == [
        "2 cancelled, 1 failed to connect",
        "10169 error, 10169 failed to connect",
        "1 timeout",
        "0",
    ]
    assert [page.styles[each] for each in shown] == ["down", "down", "warn", ""]


async def test_a_full_process_is_named_in_colour_and_on_top(tmp_path: Path) -> None:
    with ExitStack() as stack:
        share(tmp_path, replace(POOL, name="a"))
        workers = [stack.enter_context(run_worker(tmp_path, pool="orders")) for _ in range(3)]
        for worker in workers:
            worker.do("checkout", "return")
        workers[1].do(*["checkout"] * 5)
        page = Page(await load(tmp_path))
        text = f"1 of 3 processes full: {workers[1].pid}"
        rows = page.read_table(TITLES)
        assert [row[0] for row in rows] == ["orders", "a"]
        assert rows[0][3:5] == [text, "5 / 15"]
        assert page.styles[text] == page.styles["5 / 15"] == "down"
        workers[1].do("return")
        page = Page(await load(tmp_path))
    assert "4 / 15" in page.text
    assert "processes full" not in page.text
    assert page.styles["4 / 15"] == ""


async def test_many_full_processes_are_not_all_named(tmp_path: Path) -> None:
    for _ in range(5):
        share(tmp_path, saturated=1)
    ((_, _, _, processes, *_),) = await read_pools(tmp_path)
    assert re.fullmatch(r"5 of 5 processes full: \d+, \d+, \d+ …", processes)


async def test_databases_that_are_down_come_first(up: dict[str, Any], closed_port: int) -> None:
    down = build_down(closed_port)
    app = build_app({"a": up, "b": down, "c": up, "d": down})
    async with open_client(app) as client:
        await client.get("/health/db")
        page = Page((await client.get("/")).text)
    assert [row[0] for row in page.read_table(["Name", "State", "Reason"])] == ["b", "d", "a", "c"]


async def test_every_value_has_its_columns_title_for_narrow_screens(
    tmp_path: Path, up: dict[str, Any]
) -> None:
    share(tmp_path)
    html = await load(tmp_path, {"lake": up})
    titles = re.findall(r'<td data-title="([^"]+)"', html)
    assert titles == ["State", "Reason", *TITLES[1:]]
    assert "@media (max-width" in html


async def test_the_page_loads_itself_again() -> None:
    async with open_client(build_app({})) as client:
        html = (await client.get("/")).text
    assert re.search(r'<meta http-equiv="refresh" content="\d+">', html)


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
    assert "Failures" not in page.text


async def test_an_empty_folder_names_the_variable_to_set(tmp_path: Path) -> None:
    text = Page(await load(tmp_path)).text
    assert f"{tmp_path} : no process has written here yet." in text
    assert "see SQLALCHEMY_POOL_METRICS_DIR and docs/application.md" in text
    assert "Failures" not in text


async def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    text = Page(await load(tmp_path / "pools")).text
    assert f"{tmp_path}/pools cannot be read: No such file or directory." in text
    assert "no process has written here yet" not in text


@pytest.mark.parametrize("name", HOSTILE)
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


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_holders_are_escaped(name: str) -> None:
    labels = {"pool": name, "application": name, "database": name}
    pool = read_snapshot(POOL, SlotBuffer().slots, 1)._replace(
        processes=1,
        holders=(HolderNumbers(name, 1, 2, 0, leaks=1),),
        overdue=(OverdueHold(name, 0, file=name, line=3, function=name),),
    )
    html = build_holders([(labels, pool)]) + build_overdue([(labels, pool)])
    page = Page(html)
    (_, holder), (_, hold) = page.tables
    assert holder[:5] == [name, name, name, "1", "2, 1 leaked"]
    place = f"{name}:3 {name}" if name else ""
    assert hold == [name, name, name or "unknown", "0:00:00", place, "0", ""]
    assert "script" not in page.tags
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
