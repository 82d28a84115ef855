"""The life of what the handlers share."""

import asyncio
from typing import Any

import pytest

from sqlalchemy_pool_exporter.service import State
from tests.exporter.web.clients import build_app, build_down, read_service

pytestmark = pytest.mark.anyio


async def test_service_tells_its_state(up: dict[str, Any]) -> None:
    service = read_service(build_app({"shop": up}))
    assert repr(service) == "<Service starting <ProbeSet 0 of 1 up>>"
    await service.start()
    await service.probes.get("shop").check()
    assert repr(service) == "<Service ready <ProbeSet 1 of 1 up>>"
    await service.stop()
    assert service.state is State.STOPPING


async def test_stopping_twice_waits_for_the_first(silent_port: int) -> None:
    service = read_service(build_app({"shop": build_down(silent_port)}))
    await service.start()
    async with asyncio.timeout(15):
        await asyncio.gather(service.stop(), service.stop())
    assert service.engines.names() == ()


async def test_database_that_was_up_has_no_connection_left_after_the_stop(
    up: dict[str, Any],
) -> None:
    service = read_service(build_app({"shop": up}))
    await service.start()
    database = service.engines.get("shop")
    assert (await service.probes.get("shop").check()).ok
    await service.stop()
    assert database.read_pool().checked_in == 0
    assert database.read_pool().checked_out == 0
