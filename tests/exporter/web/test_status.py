"""What the status page shows, as JSON."""

import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.web import status_page
from sqlalchemy_pool_exporter.web.status import (
    MAX_HOLDERS,
    MAX_OVERDUE,
    MAX_PROCESSES,
    build_pool,
    rank_holder,
)
from sqlalchemy_pool_metrics import PoolDescription
from sqlalchemy_pool_metrics.layout import HELD_CAPACITY
from sqlalchemy_pool_metrics.slot_buffer import SlotBuffer
from sqlalchemy_pool_metrics.slot_reader import read_snapshot
from sqlalchemy_pool_metrics.snapshot import HolderNumbers
from tests.exporter.app_workers import run_worker
from tests.exporter.shared_files.shared_files import SharedFile
from tests.exporter.web.clients import CANARY, build_app, build_down, open_client, read_service
from tests.exporter.web.pages import Page

pytestmark = pytest.mark.anyio

PATH = "/api/v1/status"
HOLDER_TITLES = [
    "Pool",
    "Application",
    "Holder",
    "In\xa0use",
    "Checkouts so\xa0far",
    "Each",
    "Busy",
]
OVERDUE_TITLES = ["Pool", "Application", "Holder", "Age", "Asked for in", "Process", "Thread"]


async def load(databases: dict[str, Any], **app: Any) -> Any:
    async with open_client(build_app(databases, app=app)) as client:
        await client.get("/health/db")
        response = await client.get(PATH)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert CANARY not in response.text
    return response.json()


async def test_the_status_has_version_state_and_databases(
    up: dict[str, Any], closed_port: int
) -> None:
    status = await load({"shop": up, "orders": build_down(closed_port)})
    databases = status.pop("databases")
    assert status == {
        "version": read_version(),
        "state": "ready",
        "last_reload_successful": True,
    }
    assert databases["shop"]["status"] == "healthy"
    assert (databases["orders"]["status"], databases["orders"]["reason"]) == (
        "unhealthy",
        "refused",
    )


async def test_a_database_that_has_not_been_probed_is_not_unhealthy(up: dict[str, Any]) -> None:
    app = build_app({"shop": up})
    async with open_client(app) as client:
        read_service(app).probes.get("shop").last = None
        status = (await client.get(PATH)).json()
    assert status["databases"]["shop"] == {"name": "shop", "status": "not probed yet"}


async def test_the_applications_pools_are_those_of_the_page(tmp_path: Path) -> None:
    for _ in range(2):
        SharedFile(tmp_path).set("held_spilled", 3)
    app = build_app({}, app={"dir": str(tmp_path)})
    async with open_client(app) as client:
        status = (await client.get(PATH)).json()["app"]
        page = Page((await client.get("/")).text)
    (pool,) = status["pools"]
    assert status["dir"] == str(tmp_path)
    assert status["files"] == {"live": 2, "dead": 0, "unreadable": 0}
    assert (pool["pool"], pool["database"], pool["checked_out"]) == ("main", "orders", 6)
    assert ["main", "orders", "shop", "2", "6 / 30", "0", "0"] in page.rows


async def test_full_processes_are_named(tmp_path: Path) -> None:
    app = build_app({}, app={"dir": str(tmp_path)})
    with run_worker(tmp_path) as full, run_worker(tmp_path) as other:
        full.do(*["checkout"] * 5)
        other.do("checkout")
        async with open_client(app) as client:
            (pool,) = (await client.get(PATH)).json()["app"]["pools"]
    assert (pool["processes"], pool["saturated_processes"]) == (2, 1)
    assert pool["saturated_process_ids"] == [full.pid]


async def test_of_many_full_processes_some_are_named(tmp_path: Path) -> None:
    for _ in range(MAX_PROCESSES + 1):
        SharedFile(tmp_path).set("saturated", 1)
    (pool,) = (await load({}, dir=str(tmp_path)))["app"]["pools"]
    assert pool["saturated_processes"] == MAX_PROCESSES + 1
    assert pool["saturated_process_ids"] == [os.getpid()] * MAX_PROCESSES


async def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    status = await load({}, dir=str(tmp_path / "pools"))
    assert status["app"]["problem"] == "No such file or directory"
    assert status["app"]["pools"] == []


async def test_overdue_connections_show_who_has_them_and_where_they_were_asked_for(
    tmp_path: Path,
) -> None:
    app = build_app({}, app={"dir": str(tmp_path), "leak_threshold": 1e-6})
    with run_worker(tmp_path) as worker:
        async with open_client(app) as client:
            worker.do("checkout")
            status = (await client.get(PATH)).json()["app"]
            page = Page((await client.get("/")).text)
    (pool,) = status["pools"]
    (hold,) = pool["oldest_overdue"]
    assert hold.pop("age_seconds") >= 0
    assert hold == {
        "holder": "__main__.<module>",
        "file": "<string>",
        "line": 1,
        "function": "<module>",
        "process": worker.pid,
        "thread": worker.pid,
    }
    assert (pool["overdue_connections"], status["leak_threshold_seconds"]) == (1, 1e-6)
    (row,) = page.read_table(OVERDUE_TITLES)
    place = "<string>:1 <module>"
    shown = dict(zip(OVERDUE_TITLES, row, strict=True))
    assert shown.pop("Age").startswith("0:00:")
    assert list(shown.values()) == ["main", "shop", hold["holder"], place, *[str(worker.pid)] * 2]


async def test_holders_show_what_they_have_and_how_busy_it_is(tmp_path: Path) -> None:
    app = build_app({}, app={"dir": str(tmp_path)})
    with run_worker(tmp_path) as worker:
        async with open_client(app) as client:
            worker.do("checkout")
            # What has just begun is not counted yet.
            while not (holder := await read_holder(client))["held_seconds"]:
                pass
            page = Page((await client.get("/")).text)
    del holder["held_seconds"]
    assert holder == {
        "holder": "__main__.<module>",
        "connections": 1,
        "checkouts": 1,
        "leaks": 0,
        "held_busy_seconds": 0,
    }
    (row,) = page.read_table(HOLDER_TITLES)
    shown = dict(zip(HOLDER_TITLES, row, strict=True))
    assert shown.pop("Each").endswith(" s")
    assert list(shown.values()) == ["main", "shop", "__main__.<module>", "1", "1", "0%"]


async def test_leaks_are_those_of_the_pool_and_of_the_holder(tmp_path: Path) -> None:
    app = build_app({}, app={"dir": str(tmp_path)})
    with run_worker(tmp_path) as worker:
        worker.do("checkout", "checkout", "leak")
        async with open_client(app) as client:
            (pool,) = (await client.get(PATH)).json()["app"]["pools"]
            page = Page((await client.get("/")).text)
    assert (pool["leaked_connections"], pool["holders"][0]["leaks"]) == (1, 1)
    (row,) = page.read_table(HOLDER_TITLES)
    assert row[3:5] == ["1", "2, 1 leaked"]
    assert page.styles["2, 1 leaked"] == "warn"


def test_holders_who_leaked_come_after_those_with_connections() -> None:
    holders = (
        HolderNumbers("long", 0, 9, 9),
        HolderNumbers("leaking", 0, 1, 1, leaks=1),
        HolderNumbers("holding", 1, 1, 1),
    )
    assert [each.name for each in sorted(holders, key=rank_holder)] == [
        "holding",
        "leaking",
        "long",
    ]


def test_of_many_holders_those_with_most_connections_are_shown() -> None:
    many = range(status_page.MAX_HOLDERS + 5)
    blank = HolderNumbers("", *[0] * (len(HolderNumbers._fields) - 1))
    holders = tuple(blank._replace(name=f"GET /{each}", connections=each) for each in many)
    pool = read_snapshot(PoolDescription(), SlotBuffer().slots, 1)._replace(holders=holders)
    labels = {"pool": "main", "database": "orders", "application": "shop"}
    table = Page(status_page.build_holders([(labels, pool._replace(processes=1))]))
    shown = [row[2] for row in table.read_table(HOLDER_TITLES)]
    assert shown == [f"GET /{each}" for each in reversed(many)][: status_page.MAX_HOLDERS]
    assert "… and 5 more" in table.text
    listed = [each["holder"] for each in build_pool(labels, pool, ())["holders"]]
    assert listed == [f"GET /{each}" for each in reversed(many)][:MAX_HOLDERS]


async def read_holder(client: httpx.AsyncClient) -> dict[str, Any]:
    (pool,) = (await client.get(PATH)).json()["app"]["pools"]
    holder: dict[str, Any]
    (holder,) = pool["holders"]
    return holder


async def test_of_many_overdue_connections_the_oldest_are_listed(tmp_path: Path) -> None:
    now_ns = time.monotonic_ns()
    for _ in range(2):
        shared = SharedFile(tmp_path)
        shared.set("held_used", HELD_CAPACITY)
        for number in range(HELD_CAPACITY):
            shared.set("held", now_ns - number, offset=number)
    app = build_app({}, app={"dir": str(tmp_path), "leak_threshold": 1e-9})
    async with open_client(app) as client:
        (pool,) = (await client.get(PATH)).json()["app"]["pools"]
        page = Page((await client.get("/")).text)
    assert pool["overdue_connections"] == 2 * HELD_CAPACITY
    assert len(pool["oldest_overdue"]) == MAX_OVERDUE
    ages = [hold["age_seconds"] for hold in pool["oldest_overdue"]]
    assert ages == sorted(ages, reverse=True)
    rows = page.read_table(OVERDUE_TITLES)
    assert [row[2] for row in rows] == ["unknown"] * status_page.MAX_OVERDUE
    assert f"and {2 * HELD_CAPACITY - status_page.MAX_OVERDUE} more, see" in page.text


async def test_without_overdue_connections_there_is_no_table(tmp_path: Path) -> None:
    SharedFile(tmp_path).set("held_spilled", 3)
    async with open_client(build_app({}, app={"dir": str(tmp_path)})) as client:
        (pool,) = (await client.get(PATH)).json()["app"]["pools"]
        page = Page((await client.get("/")).text)
    assert (pool["overdue_connections"], pool["oldest_overdue"]) == (0, [])
    assert OVERDUE_TITLES not in page.rows
