"""The exporter's pools and the application's side by side, never mixed up."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_pool_exporter.collectors.pools import PoolCollector, build_app_files
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.shared_files import AppReading, FileState, ProcessPools
from sqlalchemy_pool_metrics import PoolDescription, Snapshot, instrument, read_pool
from sqlalchemy_pool_metrics.layout import ADDITIVE_SLOTS, SLOT
from sqlalchemy_pool_metrics.snapshot import keep_counters
from tests.exporter.collectors.probes import build_probe, build_registry, read_series

SIZE = "sqlalchemy_pool_size"
FAILURES = "sqlalchemy_pool_connection_failures_total"
PROCESSES = "sqlalchemy_pool_processes"
CHECKED_OUT = "sqlalchemy_pool_checked_out"


def collect(probes: Iterable[Probe], app_pools: Iterable[Snapshot] = ()) -> CollectorRegistry:
    known = {probe.name: probe for probe in probes}
    return build_registry(
        PoolCollector(known, lambda: AppReading([ProcessPools("1-a", tuple(app_pools))], {}))
    )


def collect_processes(
    processes: Mapping[str, Iterable[Snapshot]], *, per_process: bool = False
) -> CollectorRegistry:
    """The pools by process; those of the process "" are of processes that are gone."""

    def read() -> AppReading:
        return AppReading([ProcessPools(name, tuple(all_)) for name, all_ in processes.items()], {})

    return build_registry(PoolCollector({}, read, per_process=per_process))


def read_values(registry: CollectorRegistry, name: str) -> list[float]:
    return list(read_series(registry, name).values())


def read_app_pool(url: str, name: str = "main", size: int = 5) -> Snapshot:
    engine = create_engine(url, pool_size=size)
    instrument(engine, name=name)
    return read_pool(engine)


def build_pool(name: str = "main", failures: int = 0, **keys: Any) -> Snapshot:
    """A pool of one process that counted so many failed connections."""
    counters = [0] * ADDITIVE_SLOTS
    counters[SLOT["connection_failures"]] = failures
    pool = PoolDescription(name=name, application="shop", database="orders", size=5, waits=True)
    return Snapshot(replace(pool, **keys), processes=1, additive=tuple(counters), checked_out=1)


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


@pytest.mark.parametrize(
    ("configured", "apps"),
    [
        ("postgresql:///orders?host=one,two", "postgresql+psycopg:///orders?host=two:5432&host=one:5432"),
        ("postgresql:///orders?host=/run/pg", "postgresql+asyncpg:///orders?host=/run/pg"),
        ("postgresql://[::1]/orders", "postgresql+psycopg://[0:0::1]:5432/orders"),
        ("postgresql://DB/orders", "postgresql+psycopg://db/orders"),
        ("postgresql:///orders", "postgresql+psycopg:///orders"),
        ("mysql+pymysql:///orders?unix_socket=/run/my", "mysql+pymysql://db/orders?unix_socket=/run/my"),
        ("sqlite:////data/orders", "sqlite:////data/orders"),
    ],
)  # fmt: skip
def test_pool_is_joined_to_the_database_it_leads_to(configured: str, apps: str) -> None:
    pool = describe(apps)
    _, labels = read_labels(collect([build_probe("shop", configured)], [pool]))
    assert labels["database"] == "shop"


@pytest.mark.parametrize(
    ("configured", "apps"),
    [
        ("postgresql:///orders?host=one,two", "postgresql+psycopg://one/orders"),
        ("postgresql://localhost/orders", "postgresql+psycopg://127.0.0.1/orders"),
        ("postgresql://localhost/orders", "postgresql+psycopg:///orders"),
        ("sqlite:///orders", "sqlite:///orders"),
        ("sqlite://", "sqlite://"),
    ],
)
def test_pool_of_another_place_is_not_joined(configured: str, apps: str) -> None:
    _, labels = read_labels(collect([build_probe("shop", configured)], [describe(apps)]))
    assert labels["database"] != "shop"


def test_first_of_two_configured_databases_that_are_one_is_joined() -> None:
    url = "postgresql+asyncpg://db/orders"
    probes = [build_probe("first", url), build_probe("second", url)]
    *_, labels = read_labels(collect(probes, [read_app_pool("postgresql+psycopg://db/orders")]))
    assert labels["database"] == "first"


def describe(url: str) -> Snapshot:
    engine = create_async_engine(url) if "asyncpg" in url else create_engine(url)
    instrument(engine, name="main")
    return read_pool(engine)


def test_processes_of_one_pool_are_summed_and_counted() -> None:
    registry = collect_processes({"1-a": [build_pool(failures=1)], "2-b": [build_pool(failures=2)]})
    assert read_values(registry, FAILURES) == [3]
    assert read_values(registry, SIZE) == [10]
    assert read_values(registry, PROCESSES) == [2]


def test_two_pools_of_one_process_with_the_same_labels_are_in_one_process() -> None:
    registry = collect_processes({"1-a": [build_pool(host="one"), build_pool(host="two")]})
    assert read_values(registry, CHECKED_OUT) == [2]
    assert read_values(registry, PROCESSES) == [1]


def test_dead_process_counts_and_is_in_no_gauge() -> None:
    dead = keep_counters(build_pool(failures=2))
    registry = collect_processes({"": [dead], "1-a": [dead], "2-b": [build_pool(failures=1)]})
    assert read_values(registry, FAILURES) == [5]
    assert read_values(registry, SIZE) == [5]
    assert read_values(registry, CHECKED_OUT) == [1]
    assert read_values(registry, PROCESSES) == [1]


def test_pool_whose_processes_are_all_dead_has_no_gauge_at_all() -> None:
    dead = keep_counters(build_pool(failures=2))
    registry = collect_processes({"1-a": [dead]})
    samples = [sample for family in registry.collect() if family.type == "gauge"
               for sample in family.samples]  # fmt: skip
    assert samples == []
    assert read_values(registry, FAILURES) == [2]


def test_probes_pool_is_in_no_process() -> None:
    assert read_series(collect([build_probe("shop")]), PROCESSES) == {}


def test_waits_are_shown_whichever_process_comes_first() -> None:
    pools = [build_pool(waits=False), build_pool(waits=True)]
    for first, second in (pools, reversed(pools)):
        registry = collect_processes({"1-a": [first], "2-b": [second]})
        assert read_values(registry, "sqlalchemy_pool_pending_checkouts") == [0]


def test_each_process_by_itself_is_told_by_its_label() -> None:
    processes = {
        "": [keep_counters(build_pool(failures=4))],
        "1-a": [build_pool(failures=1)],
        "2-b": [keep_counters(build_pool(failures=2))],
    }
    registry = collect_processes(processes, per_process=True)
    labels = {"origin": "app", "pool": "main", "database": "orders", "application": "shop"}
    assert registry.get_sample_value(FAILURES, {**labels, "process": "1-a"}) == 1
    assert registry.get_sample_value(FAILURES, {**labels, "process": "2-b"}) == 2
    assert len(read_values(registry, FAILURES)) == 2
    assert registry.get_sample_value(CHECKED_OUT, {**labels, "process": "1-a"}) == 1
    assert len(read_values(registry, CHECKED_OUT)) == 1


def test_probes_pool_has_an_empty_process_beside_those_of_the_application() -> None:
    shop = build_probe("shop")
    collector = PoolCollector({"shop": shop}, lambda: AppReading((), {}), per_process=True)
    (labels,) = read_labels(build_registry(collector))
    assert labels == {"origin": "probe", "pool": "shop", "database": "shop", "process": ""}


def test_pools_beyond_the_limit_are_summed_as_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.collectors.pool_sums.MAX_LABEL_SETS", 2)
    pools = [build_pool(f"p{number}", failures=10**number) for number in range(4)]
    registry = collect([], pools)
    assert [labels["pool"] for labels in read_labels(registry)] == ["p0", "p1", "dropped"]
    (*_, labels) = read_labels(registry)
    assert labels == {"origin": "app", "pool": "dropped", "database": ""}
    assert read_values(registry, FAILURES) == [1, 10, 1100]


def test_pools_that_processes_dropped_are_added_to_those_dropped_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.collectors.pool_sums.MAX_LABEL_SETS", 1)
    dropped = Snapshot(PoolDescription(name="dropped"), 0, build_pool(failures=5).additive)
    registry = collect([], [dropped, build_pool("p0", failures=1), build_pool("p1", failures=2)])
    assert read_values(registry, FAILURES) == [1, 7]


def test_who_is_shown_stays_shown_when_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.collectors.pool_sums.MAX_LABEL_SETS", 1)
    pools = [build_pool("p1")]
    registry = collect([], pools)
    assert [labels["pool"] for labels in read_labels(registry)] == ["p1"]
    pools.insert(0, build_pool("p0"))
    assert [labels["pool"] for labels in read_labels(registry)] == ["p1", "dropped"]
    pools.remove(pools[1])
    assert [labels["pool"] for labels in read_labels(registry)] == ["p0"]


def test_files_are_counted_by_state_from_0() -> None:
    files = {FileState.LIVE: 3, FileState.DEAD: 0, FileState.UNREADABLE: 1}
    samples = build_app_files(files).samples
    assert {sample.labels["state"]: sample.value for sample in samples} == {
        "live": 3,
        "dead": 0,
        "unreadable": 1,
    }


def test_without_a_folder_there_are_no_files_to_count() -> None:
    assert read_series(collect([]), "sqlalchemy_pool_exporter_app_files") == {}
