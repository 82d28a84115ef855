"""The function that holds a connection, where neither a name nor an endpoint is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from sqlalchemy_pool_metrics import call_sites, holder, holders, instrument, read_pool
from sqlalchemy_pool_metrics.call_sites import is_library

HERE = __name__


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = instrument(create_engine(f"sqlite:///{tmp_path}/shop.db"), holders=True)
    yield engine
    engine.dispose()


def find_holders(engine: Any) -> list[str]:
    return [each.name for each in read_pool(engine).holders]


def load_order(engine: Engine) -> None:
    with Session(engine) as session:
        session.execute(text("SELECT 1"))


class Orders:
    """An application's class."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def load(self) -> None:
        load_order(self.engine)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection


def test_the_holder_is_the_function_outside_sqlalchemy(engine: Engine) -> None:
    load_order(engine)

    assert find_holders(engine) == [f"{HERE}.load_order"]


def test_a_function_that_sqlalchemy_calls_holds_its_own_connections(engine: Engine) -> None:
    for is_watched in (False, True, False):
        load_watched(engine, is_watched)

    names = {each.name.rpartition(".")[2]: each.holds for each in read_pool(engine).holders}
    assert names == {"load_watched": 3, "check_quota": 1}


def load_watched(engine: Engine, is_watched: bool) -> None:
    def check_quota(_: object) -> None:
        engine.connect().close()

    with Session(engine) as session:
        if is_watched:
            event.listen(session, "do_orm_execute", check_quota)
        session.execute(text("SELECT 1"))


def test_a_name_goes_before_a_function(engine: Engine) -> None:
    with holder("report"):
        load_order(engine)

    assert find_holders(engine) == ["report"]


def test_the_holder_is_found_in_a_thread_and_above_contextlib(engine: Engine) -> None:
    with ThreadPoolExecutor() as executor:
        executor.submit(Orders(engine).load).result()
    with Orders(engine).connect():
        pass

    assert len(find_holders(engine)) == 2
    assert find_holders(engine)[0] == f"{HERE}.load_order"
    assert find_holders(engine)[1].endswith("connect")


async def load_async(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 1"))
    async with engine.connect():
        pass
    await engine.dispose()


def test_an_async_engine_finds_the_coroutine(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    engine = instrument(create_async_engine(url), holders=True)
    asyncio.run(load_async(engine))

    assert find_holders(engine) == [f"{HERE}.load_async"]


def test_modules_can_be_declared_libraries(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLALCHEMY_POOL_METRICS_LIBRARIES", f"shop.database, {HERE}")
    call_sites.sites.clear()
    load_order(engine)

    (name,) = find_holders(engine)
    assert not name.startswith(HERE)
    assert is_library("shop.database.sessions")
    assert not is_library("shop.databases")
    call_sites.sites.clear()


def test_code_without_a_module_is_not_a_holder(engine: Engine) -> None:
    template = Template("{{ engine.connect().close() or 'rendered' }}")
    assert template.render(engine=engine) == "rendered"

    assert all(name.startswith(f"{HERE}.") for name in find_holders(engine))


def test_holders_are_switched_on_by_the_environment_and_off_by_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLALCHEMY_POOL_METRICS_HOLDERS", "1")
    on = instrument(create_engine(f"sqlite:///{tmp_path}/on.db"))
    off = instrument(create_engine(f"sqlite:///{tmp_path}/off.db"), holders=False)
    in_url = create_engine(f"sqlite:///{tmp_path}/u.db?plugin=pool_metrics&pool_holders=no")
    monkeypatch.delenv("SQLALCHEMY_POOL_METRICS_HOLDERS")
    plugged = create_engine(
        f"sqlite:///{tmp_path}/p.db", plugins=["pool_metrics"], pool_holders=True
    )
    plain = instrument(create_engine(f"sqlite:///{tmp_path}/plain.db"))
    for engine in (on, off, in_url, plugged, plain):
        load_order(engine)

    assert find_holders(on) == find_holders(plugged) == [f"{HERE}.load_order"]
    assert find_holders(off) == find_holders(in_url) == find_holders(plain) == []


def test_a_replaced_pool_still_finds_holders(engine: Engine) -> None:
    engine.dispose()
    load_order(engine)

    assert find_holders(engine) == [f"{HERE}.load_order"]


def test_no_frame_is_kept(engine: Engine) -> None:
    class Local:
        """Notices when the frame that has it is gone."""

        def __del__(self) -> None:
            gone.append(True)

    def work() -> Connection:
        local = Local()
        assert local
        return engine.connect()

    gone: list[bool] = []
    connection = work()
    assert gone == [True]
    connection.close()


def test_a_fault_while_looking_for_a_holder_is_logged_and_the_checkout_counts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> str:
        raise LookupError("changed in a new version")

    monkeypatch.setattr(holders, "_get_name", fail)
    load_order(engine)

    assert "finding a holder" in caplog.text
    assert (read_pool(engine).checkouts, find_holders(engine)) == (1, [])
