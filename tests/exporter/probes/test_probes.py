from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest

from sqlalchemy_pool_exporter.failures import Reason
from tests.exporter.open_databases import PATIENCE, TIMEOUT, plain_url, redirect
from tests.exporter.probes.open_probes import (
    CANARY,
    OFTEN,
    open_probes,
    reason_of,
)
from tests.exporter.waiting import wait_for
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.mariadb import MariaDB
from tests.servers.proxy import open_proxy

pytestmark = pytest.mark.anyio


async def test_started_probes_run_until_stopped(postgres: EmbeddedPostgres) -> None:
    async with open_probes({"shop": plain_url(postgres)}, interval=OFTEN) as probes:
        await probes.start()
        await wait_for(lambda: sum(probes.get("shop").probes_total.values()) >= 5)
        assert repr(probes) == "<ProbeSet 1 of 1 up>"
        await probes.stop()
        assert {
            task.get_name() for task in asyncio.all_tasks() if "probe" in task.get_name()
        } == set()


async def test_probes_begin_one_after_the_other(silent_port: int) -> None:
    urls = {f"shop{n}": f"postgresql+asyncpg://user@127.0.0.1:{silent_port}/d" for n in range(20)}
    async with open_probes(urls) as probes:
        await probes.start()
        for _ in range(6):  # turns of the event loop, in which it serves others as well
            await asyncio.sleep(0)
        begun = sum("busy" in repr(each.database) for each in probes.probes.values())
        assert 1 <= begun <= 6
        await wait_for(
            lambda: all("busy" in repr(each.database) for each in probes.probes.values())
        )


async def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    async with open_probes({"primary": "sqlite://", "replica": "sqlite://"}) as probes:
        with pytest.raises(KeyError, match="no database 'shop'; known: primary, replica"):
            probes.get("shop")


def build_black_holes(silent_port: int, dropping_port: int) -> dict[str, str]:
    login = f"user:{CANARY}@127.0.0.1"
    return {
        "silent asyncpg": f"postgresql+asyncpg://{login}:{silent_port}/shop",
        "silent psycopg": f"postgresql+psycopg://{login}:{silent_port}/shop",
        "silent pymysql": f"mysql+pymysql://{login}:{silent_port}/shop",
        "dropping asyncpg": f"postgresql+asyncpg://{login}:{dropping_port}/shop",
        "dropping pymysql": f"mysql+pymysql://{login}:{dropping_port}/shop",
    }


async def test_five_black_holes_of_ten_cost_the_others_no_probe(
    postgres: EmbeddedPostgres,
    mariadb: MariaDB,
    silent_port: int,
    dropping_port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost = build_black_holes(silent_port, dropping_port)
    healthy = {
        "asyncpg": plain_url(postgres),
        "psycopg": plain_url(postgres, "psycopg"),
        "another": plain_url(postgres),
        "pymysql": mariadb.url(),
        "sqlite": "sqlite://",
    }
    keys: dict[str, Any] = {"interval": TIMEOUT / 10, "timeout": 4 * TIMEOUT}
    async with open_probes({**lost, **healthy}, **keys) as probes:
        await probes.start()
        await wait_for(lambda: all(probes.get(name).last for name in lost))
        # In the time of one timeout 40 probes were due; a busy machine makes fewer.
        for name in healthy:
            assert probes.get(name).up, probes.get(name).last
            assert sum(probes.get(name).probes_total.values()) >= 5, name
        assert {reason_of(check) for name in lost if (check := probes.get(name).last)} == {
            Reason.TIMEOUT
        }
    assert CANARY not in caplog.text


@pytest.mark.parametrize("iterations", range(12))
async def test_stopping_at_any_moment_of_the_first_probe_leaves_nothing_behind(
    silent_port: int, closed_port: int, iterations: int
) -> None:
    urls = {**build_black_holes(silent_port, closed_port), "sqlite": "sqlite://"}
    async with open_probes(urls) as probes:
        await probes.start()
        for _ in range(iterations):
            await asyncio.sleep(0)
        await probes.stop()
    gc.collect()  # so that asyncio logs here the errors that nobody has retrieved


async def test_stopping_takes_no_timeout_although_every_database_hangs(
    postgres: EmbeddedPostgres, silent_port: int, dropping_port: int
) -> None:
    lost = build_black_holes(silent_port, dropping_port)
    with open_proxy(postgres.port) as proxy:
        for driver in ("asyncpg", "psycopg"):
            lost[driver] = redirect(plain_url(postgres, driver), proxy.port)
        async with open_probes(lost, interval=OFTEN) as probes:
            await probes.start()
            await wait_for(lambda: probes.get("asyncpg").up and probes.get("psycopg").up)
            proxy.freeze()
            await wait_for(
                lambda: all("busy" in repr(each.database) for each in probes.probes.values())
            )
            started = time.monotonic()
            await probes.stop()
            assert time.monotonic() - started < PATIENCE / 2  # stopping did not wait for a timeout
            proxy.heal()
        await wait_for(lambda: proxy.clients == 0)
