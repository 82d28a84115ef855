"""The exporter's own state never depends on a database's."""

import pytest

from tests.exporter.web.clients import build_app, build_down, connect, open_client

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
async def test_process_is_well_while_its_database_hangs(path: str, silent_port: int) -> None:
    async with open_client(build_app({"shop": build_down(silent_port)})) as client:
        response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")


async def test_ready_only_between_start_and_stop() -> None:
    app = build_app({})
    async with connect(app) as client:
        assert (await client.get("/-/ready")).status_code == 503
        async with app.router.lifespan_context(app):
            ready = await client.get("/-/ready")
        stopping = await client.get("/-/ready")
        assert (await client.get("/-/healthy")).status_code == 200
    assert (ready.status_code, ready.text) == (200, "ready\n")
    assert (stopping.status_code, stopping.text) == (503, "stopping\n")
