from __future__ import annotations

import asyncio

import pytest

from tests.exporter.open_databases import (
    DRIVERS,
    PATIENCE,
    ask,
    build_settings,
    open_registry,
    plain_url,
    redirect,
)
from tests.exporter.waiting import wait_for
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.proxy import open_proxy

pytestmark = pytest.mark.anyio


async def test_the_registry_has_its_databases_by_name() -> None:
    settings = {name: build_settings("sqlite://") for name in ("primary", "replica")}
    async with open_registry(settings) as registry:
        assert list(registry) == [registry.get("primary"), registry.get("replica")]
        assert repr(registry) == "<DatabaseRegistry primary, replica>"


async def test_an_unknown_database_is_an_error_that_lists_the_names() -> None:
    settings = {name: build_settings("sqlite://") for name in ("primary", "replica")}
    async with open_registry(settings) as registry:
        with pytest.raises(KeyError, match="no database 'primry'; known: primary, replica"):
            registry.get("primry")


@pytest.mark.parametrize("driver", DRIVERS)
async def test_closing_is_over_in_time_with_everything_hanging(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    with open_proxy(postgres.port) as proxy:
        url = redirect(plain_url(postgres, driver), proxy.port)
        async with open_registry({f"shop {n}": build_settings(url) for n in range(10)}) as registry:
            databases = list(registry)
            await asyncio.gather(*(ask(database, "SELECT 1") for database in databases))
            proxy.freeze()
            checkouts = [
                asyncio.create_task(ask(database, "SELECT 1", fresh=number % 2 == 0))
                for number, database in enumerate(databases[:5])
            ]
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE / 2):  # far less than the checkouts would wait
                await registry.close_all()
                await asyncio.gather(*checkouts, return_exceptions=True)
            proxy.heal()
            await wait_for(lambda: proxy.clients == 0)
