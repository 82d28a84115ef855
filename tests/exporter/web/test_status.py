"""What the status page shows, as JSON."""

from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter import read_version
from tests.exporter.shared_files.shared_files import SharedFile
from tests.exporter.web.clients import CANARY, build_app, build_down, open_client, read_service
from tests.exporter.web.pages import Page

pytestmark = pytest.mark.anyio

PATH = "/api/v1/status"


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


async def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    status = await load({}, dir=str(tmp_path / "pools"))
    assert status["app"]["problem"] == "No such file or directory"
    assert status["app"]["pools"] == []
