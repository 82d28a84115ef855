"""SQLAlchemy's plugin `pool_metrics`, in a URL or as an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, create_pool_from_url, engine_from_config, make_url
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import CreateEnginePlugin
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import (
    AssertionPool,
    AsyncAdaptedQueuePool,
    NullPool,
    Pool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

from sqlalchemy_pool_metrics import MetricsQueuePool, instrument, read_pool, read_pools
from tests.agent.stub_driver import StubDriver


class TeamPool(QueuePool):
    """An application's own pool class."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


def test_a_url_names_the_pool_and_the_driver_does_not_see_the_name(url: str) -> None:
    engine = create_engine(f"{url}?plugin=pool_metrics&pool_name=primary&timeout=3")
    engine.raw_connection().close()

    assert (read_pool(engine).pool.name, read_pool(engine).checkouts) == ("primary", 1)
    assert dict(engine.url.query) == {"timeout": "3"}


def test_the_argument_pool_name_overrides_the_url(url: str) -> None:
    engine = create_engine(f"{url}?pool_name=other", plugins=["pool_metrics"], pool_name="primary")
    engine.raw_connection().close()

    assert read_pool(engine).pool.name == "primary"


@pytest.mark.parametrize("options", [{}, {"pool_name": None}, {"pool_name": ""}])
def test_the_default_name_is_the_databases(url: str, options: dict[str, Any]) -> None:
    engine = create_engine(url, plugins=["pool_metrics"], **options)

    assert read_pool(engine).pool.name == make_url(url).database


def test_the_first_of_several_names_in_a_url_counts(url: str) -> None:
    engine = create_engine(f"{url}?plugin=pool_metrics&pool_name=one&pool_name=two")

    assert read_pool(engine).pool.name == "one"


@pytest.mark.parametrize(
    "pool_class",
    [
        QueuePool,
        TeamPool,
        MetricsQueuePool,
        NullPool,
        StaticPool,
        SingletonThreadPool,
        AssertionPool,
    ],
)
def test_every_pool_class_is_recorded(url: str, pool_class: type[Pool]) -> None:
    engine = create_engine(url, poolclass=pool_class, plugins=["pool_metrics"], pool_name="any")
    engine.raw_connection().close()

    assert read_pool(engine).checkouts == 1
    assert isinstance(engine.pool, pool_class)


def test_a_pool_that_the_application_made_is_recorded() -> None:
    driver = StubDriver()
    connect: Any = driver.connect
    pool = TeamPool(connect, pool_size=3)
    engine = create_engine("sqlite://", pool=pool, plugins=["pool_metrics"], _initialize=False)
    engine.raw_connection().close()

    assert engine.pool is pool
    assert (read_pool(engine).checkouts, read_pool(engine).size) == (1, 3)


@pytest.mark.parametrize("pool_class", [None, AsyncAdaptedQueuePool, NullPool, StaticPool])
def test_an_async_engine_is_recorded(tmp_path: Path, pool_class: type[Pool] | None) -> None:
    options: dict[str, Any] = {"poolclass": pool_class} if pool_class else {}
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db?plugin=pool_metrics&pool_name=shop"
    engine = create_async_engine(url, **options)

    assert read_pool(engine).pool.name == "shop"


def test_a_configuration_and_a_pool_without_engine_are_recorded(url: str) -> None:
    configured = engine_from_config(
        {"sqlalchemy.url": f"{url}?plugin=pool_metrics", "sqlalchemy.pool_name": "configured"}
    )
    pool = create_pool_from_url(f"{url}?plugin=pool_metrics&pool_name=lone")
    pool.connect().close()

    assert read_pool(configured).pool.name == "configured"
    assert [read.checkouts for read in read_pools() if read.pool.name == "lone"] == [1]


@pytest.mark.parametrize("names", ["pool_metrics&plugin=other", "other&plugin=pool_metrics"])
def test_other_plugins_in_the_url_still_work(
    url: str, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class OtherPlugin(CreateEnginePlugin):
        """A plugin that takes an argument and looks at the engine."""

        def __init__(self, url: Any, kwargs: dict[str, Any]) -> None:
            seen.append(url.query["other_name"])
            kwargs.pop("other")

        def update_url(self, url: Any) -> Any:
            return url.difference_update_query(["other_name"])

        def engine_created(self, engine: Any) -> None:
            seen.append(engine)

    monkeypatch.setitem(plugins.impls, "other", lambda: OtherPlugin)
    engine = create_engine(f"{url}?plugin={names}&other_name=x&pool_name=primary", other=1)
    engine.raw_connection().close()

    assert seen == ["x", engine]
    assert read_pool(engine).pool.name == "primary"
    assert not engine.url.query


def test_a_pool_instrumented_in_several_ways_counts_once(url: str) -> None:
    url = f"{url}?plugin=pool_metrics&plugin=pool_metrics&pool_name=primary"
    engine = create_engine(url, plugins=["pool_metrics"], poolclass=MetricsQueuePool)
    instrument(instrument(engine))
    engine.raw_connection().close()

    assert (read_pool(engine).checkouts, read_pool(engine).connections_opened) == (1, 1)
    assert read_pool(engine).pool.name == "primary"


def test_an_engine_that_cannot_be_created_fails_as_without_the_plugin(url: str) -> None:
    with pytest.raises(TypeError, match=r"Invalid argument\(s\) 'pool_nam' "):
        create_engine(url, plugins=["pool_metrics"], pool_nam="primary")
