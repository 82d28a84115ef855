"""The exporter's pools and the application's side by side."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_pool_exporter.collectors.pools import PoolCollector
from sqlalchemy_pool_exporter.shared_files import AppReading, FileState, ProcessPools
from sqlalchemy_pool_metrics import Snapshot, instrument, read_pool
from tests.exporter.collectors.pools import (
    ENGINES,
    PROCESSES,
    SATURATED,
    SIZE,
    collect,
    read_app_pool,
    read_labels,
)
from tests.exporter.collectors.probes import build_probe, build_registry, read_series


def test_a_probes_pool_has_the_databases_name_and_no_application() -> None:
    registry = collect([build_probe("shop", pool={"size": 3})])
    labels = {"origin": "probe", "pool": "shop", "database": "shop", "application": ""}
    assert registry.get_sample_value(SIZE, labels) == 3


def test_a_pool_without_a_size_has_no_size() -> None:
    registry = collect([build_probe("shop", pool={"class": "null"})])
    assert read_series(registry, SIZE) == {}
    assert len(read_labels(registry)) == 1


def test_a_null_pool_of_an_application_has_no_size() -> None:
    engine = create_engine("postgresql+psycopg://app@one/orders", poolclass=NullPool)
    instrument(engine, name="null")
    registry = collect([], [read_pool(engine)])
    assert read_series(registry, SIZE) == {}
    assert len(read_labels(registry)) == 1


def test_the_application_is_read_at_each_scrape() -> None:
    pools: list[Snapshot] = []
    registry = collect([], pools)
    assert read_labels(registry) == []
    pools.append(read_app_pool("postgresql+psycopg://app@one/orders"))
    assert len(read_labels(registry)) == 1


@pytest.mark.parametrize("name", [PROCESSES, SATURATED, ENGINES])
def test_a_probes_pool_counts_no_processes_or_engines(name: str) -> None:
    assert read_series(collect([build_probe("shop")]), name) == {}


def test_a_probes_pool_has_an_empty_process_label() -> None:
    shop = build_probe("shop")
    collector = PoolCollector({"shop": shop}, lambda: AppReading((), {}), per_process=True)
    (labels,) = read_labels(build_registry(collector))
    assert labels == {"origin": "probe", "pool": "shop", "database": "shop", "process": ""}


def test_a_probes_pool_may_be_left_out_while_it_still_names_the_applications_database() -> None:
    url = "postgresql+psycopg://app@one/orders"
    probes = {"shop": build_probe("shop", url=url)}
    reading = AppReading([ProcessPools("1-a", (read_app_pool(url),))], {})
    collector = PoolCollector(probes, lambda: reading, probe_pools=False)
    (labels,) = read_labels(build_registry(collector))
    assert labels == {"origin": "app", "pool": "main", "database": "shop"}


def test_files_are_counted_by_state_from_0() -> None:
    files = {FileState.LIVE: 3, FileState.DEAD: 0, FileState.UNREADABLE: 1}
    registry = build_registry(PoolCollector({}, lambda: AppReading((), files)))
    assert read_series(registry, "sqlalchemy_pool_exporter_app_files") == {
        ("live",): 3,
        ("dead",): 0,
        ("unreadable",): 1,
    }


def test_pools_that_are_not_shown_are_counted() -> None:
    reading = AppReading((), {FileState.LIVE: 2}, pools_not_shown=3)
    registry = build_registry(PoolCollector({}, lambda: reading))
    assert read_series(registry, "sqlalchemy_pool_exporter_app_pools_not_shown") == {(): 3}


@pytest.mark.parametrize("family", ["app_files", "app_pools_not_shown"])
def test_without_a_folder_there_are_no_files_to_count(family: str) -> None:
    assert read_series(collect([]), f"sqlalchemy_pool_exporter_{family}") == {}
