"""What the landing page shows of an application's pools."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter.web.status_page import MAX_ROWS
from sqlalchemy_pool_metrics import PoolDescription
from tests.exporter.app_workers import run_worker
from tests.exporter.shared_files.shared_files import POOL, SharedFile
from tests.exporter.web.clients import build_app, build_down, open_client
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
async def test_pool_is_summed_over_processes(tmp_path: Path, per_process: bool) -> None:
    share(tmp_path, held_spilled=15, waiting_spilled=2, checkout_failures_timeout=40)
    share(tmp_path, held_spilled=3, checkout_failures_timeout=1)
    share(tmp_path, checkout_failures_timeout=1).end()
    assert await read_pools(tmp_path, per_process=per_process) == [
        ["main", "orders", "shop", "2", "18 / 30", "2", "42"]
    ]


async def test_real_process_is_shown(tmp_path: Path) -> None:
    with run_worker(tmp_path, pool="orders") as worker:
        worker.do("checkout", "checkout", "return")
        ((name, _, application, *numbers),) = await read_pools(tmp_path)
    assert (name, application, numbers) == ("orders", "shop", ["1", "1 / 5", "0", "0"])


async def test_pool_has_the_name_of_its_database_as_on_metrics(
    tmp_path: Path, closed_port: int
) -> None:
    share(tmp_path, replace(POOL, host="127.0.0.1", port=closed_port, database="shop"))
    html = await load(tmp_path, {"primary": build_down(closed_port)})
    assert ["main", "primary", "shop", "1", "0 / 15", "0", "0"] in Page(html).rows


async def test_what_a_pool_does_not_have_is_not_shown(tmp_path: Path) -> None:
    share(tmp_path, replace(POOL, max_connections=None, waits=False), held_spilled=3)
    assert await read_pools(tmp_path) == [["main", "orders", "shop", "1", "3", "", "0"]]


async def test_pools_that_no_process_has_any_more_have_ended_and_come_last(tmp_path: Path) -> None:
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


async def test_files_that_are_all_unreadable_are_not_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / f"shop-1-{1:012x}.pool").touch()
    page = Page(await load(tmp_path))
    assert "0 live, 0 dead, 1 unreadable." in page.text
    assert "no process has written here yet" not in page.text
    assert "Timeouts" not in page.text


async def test_empty_folder_tells_what_to_do(tmp_path: Path) -> None:
    text = Page(await load(tmp_path)).text
    assert f"{tmp_path} : no process has written here yet; see SQLALCHEMY_POOL_METRICS_DIR." in text
    assert "Timeouts" not in text


async def test_folder_that_cannot_be_read_tells_why(tmp_path: Path) -> None:
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
async def test_names_are_shown_and_not_obeyed(tmp_path: Path, name: str) -> None:
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


async def test_longest_name_is_whole(tmp_path: Path) -> None:
    share(tmp_path, replace(POOL, name="x" * 255))
    assert (await read_pools(tmp_path))[0][0] == "x" * 255


@pytest.mark.parametrize("name", ["caf\udce9", "zero\0"])
async def test_folder_that_is_no_text_is_shown(tmp_path: Path, name: str) -> None:
    text = Page(await load(tmp_path / name)).text
    assert "cannot be read" in text
    assert f"{tmp_path}/{name[:3]}" in text


async def test_only_so_many_pools_are_shown(tmp_path: Path) -> None:
    """Files have room for 15 each."""
    for first in range(0, MAX_ROWS + 5, 15):
        numbers = range(first, first + 15)
        SharedFile(tmp_path, *(replace(POOL, name=f"pool {number:03}") for number in numbers))
    page = Page(await load(tmp_path))
    names = [row[0] for row in page.rows if row[0].startswith("pool ")]
    assert names == [f"pool {number:03}" for number in range(MAX_ROWS)]
    assert "… and 5 more, see /metrics" in page.text


async def test_as_many_pools_as_are_shown_are_not_called_more(tmp_path: Path) -> None:
    share(tmp_path)
    assert "more, see" not in Page(await load(tmp_path)).text
