"""The exporter's pools and the application's side by side, never mixed up."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from exporter.collectors.pool import PoolCollector
from exporter.probes import Probe
from sqlalchemy_pool_metrics import Snapshot, instrument, read_pool
from tests.exporter.collectors.probes import build_probe, build_registry, read_series

SIZE = "sqlalchemy_pool_size"


def collect(probes: Iterable[Probe], app_pools: Iterable[Snapshot] = ()) -> CollectorRegistry:
    known = {probe.name: probe for probe in probes}
    return build_registry(PoolCollector(known, lambda: app_pools))


def read_app_pool(url: str, name: str = "main", size: int = 5) -> Snapshot:
    engine = create_engine(url, pool_size=size)
    instrument(engine, name=name)
    return read_pool(engine)


def read_labels(registry: CollectorRegistry) -> list[dict[str, str]]:
    """The labels of each pool, without the application: it is the program that runs the tests."""
    return [
        {name: value for name, value in sample.labels.items() if name != "application"}
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "sqlalchemy_pool_checked_out"
    ]


def test_probes_pool_has_the_databases_name_and_no_application() -> None:
    registry = collect([build_probe("shop", pool={"size": 3})])
    labels = {"origin": "probe", "pool": "shop", "database": "shop", "application": ""}
    assert registry.get_sample_value(SIZE, labels) == 3


def test_pool_without_a_size_has_no_size() -> None:
    registry = collect([build_probe("shop", pool={"class": "null"})])
    assert read_series(registry, SIZE) == {}
    assert len(read_labels(registry)) == 1


def test_pool_of_an_unknown_database_has_its_urls_name() -> None:
    pool = read_app_pool("postgresql+psycopg://app@elsewhere/orders")
    (labels,) = read_labels(collect([], [pool]))
    assert labels == {"origin": "app", "pool": "main", "database": "orders"}


def test_pool_of_a_configured_database_has_its_name_and_labels() -> None:
    shop = build_probe("shop", "postgresql+asyncpg://probe@db/orders", labels={"team": "sales"})
    pool = read_app_pool("postgresql+psycopg://app@db:5432/orders")
    _, labels = read_labels(collect([shop], [pool]))
    assert labels == {"origin": "app", "pool": "main", "database": "shop", "team": "sales"}


def test_same_server_with_another_database_is_another_database() -> None:
    shop = build_probe("shop", "postgresql+asyncpg://probe@db/shop", labels={"team": "sales"})
    pool = read_app_pool("postgresql+psycopg://app@db/orders")
    _, labels = read_labels(collect([shop], [pool]))
    assert labels == {"origin": "app", "pool": "main", "database": "orders", "team": ""}


def test_pools_that_would_have_the_same_labels_are_summed() -> None:
    pools = [
        read_app_pool("postgresql+psycopg://app@one/orders", size=5),
        read_app_pool("postgresql+psycopg://app@two/orders", size=7),
    ]
    assert list(read_series(collect([], pools), SIZE).values()) == [12]


def test_application_is_read_anew_at_each_scrape() -> None:
    pools: list[Snapshot] = []
    registry = collect([], pools)
    assert read_labels(registry) == []
    pools.append(read_app_pool("postgresql+psycopg://app@one/orders"))
    assert len(read_labels(registry)) == 1


def test_null_pool_of_an_application_shows_without_a_size() -> None:
    engine = create_engine("postgresql+psycopg://app@one/orders", poolclass=NullPool)
    instrument(engine, name="null")
    registry = collect([], [read_pool(engine)])
    assert read_series(registry, SIZE) == {}
    assert len(read_labels(registry)) == 1
