from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sqlalchemy_pool_exporter.databases import Database, recreate_pool
from sqlalchemy_pool_exporter.databases.engine import PoolClassError
from tests.exporter.open_databases import (
    ASYNC,
    PATIENCE,
    SYNC,
    ask,
    build_settings,
    open_database,
    plain_url,
)
from tests.servers.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio

# The pool keeps what it was given, or closes it.
KEPT = {"queue": 1, "null": 0, "static": 1, "assertion": 1, "singleton_thread": 1}
# SQLAlchemy has no SingletonThreadPool for async drivers.
POOLS = [*product([SYNC], KEPT), *product([ASYNC], KEPT.keys() - {"singleton_thread"})]


@pytest.mark.parametrize(("driver", "pool_class"), sorted(POOLS))
async def test_every_pool_class_serves_and_is_measured(
    postgres: EmbeddedPostgres, driver: str, pool_class: str
) -> None:
    async with open_database(plain_url(postgres, driver), pool={"class": pool_class}) as database:
        pids = {await ask(database, "SELECT pg_backend_pid()") for _ in range(3)}
        snapshot = database.read_pool()
    assert snapshot.checkouts == 3
    assert (snapshot.checked_out, snapshot.checked_in) == (0, KEPT[pool_class])
    assert len(pids) == (1 if KEPT[pool_class] else 3)


async def test_an_async_driver_has_no_singleton_thread_pool() -> None:
    settings = build_settings("postgresql+asyncpg://h/d", pool={"class": "singleton_thread"})
    with pytest.raises(PoolClassError, match="expected queue, null, static or assertion"):
        Database("shop", settings)


def test_an_engine_for_asyncio_does_not_load_the_orm() -> None:
    code = (
        "import sys, sqlalchemy, sqlalchemy_pool_exporter.cli\n"
        "from sqlalchemy_pool_exporter.databases.engine import build_engine\n"
        "from sqlalchemy_pool_exporter.settings import PoolSettings\n"
        "url = sqlalchemy.make_url('postgresql+asyncpg://h/d')\n"
        "build_engine(url, PoolSettings(), name='shop', is_async=True)\n"
        "sys.exit('sqlalchemy.orm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("driver", [ASYNC, SYNC])
async def test_the_options_of_the_pool_are_the_configured_ones(driver: str) -> None:
    pool = {
        "size": 3,
        "max_overflow": 4,
        "timeout": 2.5,
        "recycle": 600,
        "pre_ping": False,
        "use_lifo": True,
        "reset_on_return": "commit",
    }
    async with open_database(f"postgresql+{driver}://h/d", pool=pool) as database:
        built: Any = database.engine.pool
    assert (built.size(), built._max_overflow, built.timeout()) == (3, 4, 2.5)
    assert (built._recycle, built._pre_ping, built._pool.use_lifo) == (600, False, True)
    assert built._reset_on_return.name == "reset_commit"


async def test_a_full_pool_is_a_pool_timeout() -> None:
    async with open_database("sqlite://", pool={"timeout": 0.01}) as database:

        def take_another(connection: Connection) -> None:
            connection.engine.connect()

        with pytest.raises(PoolTimeoutError, match="QueuePool limit"):
            await database.run(take_another, fresh=False, timeout_seconds=PATIENCE)


def test_recreate_pool_raises_when_the_new_pool_does_not_connect(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///file:{tmp_path / 'no.db'}?mode=rw&uri=true")
    with pytest.raises(DBAPIError, match="unable to open database file"):
        recreate_pool(engine)
