"""The application's pools: joined to databases, summed over processes, and limited in number."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from sqlalchemy_pool_metrics import PoolDescription, Snapshot
from sqlalchemy_pool_metrics.snapshot import HolderNumbers, keep_counters
from tests.exporter.collectors.pools import (
    CHECKED_OUT,
    ENGINES,
    LEAKS,
    PROCESSES,
    SATURATED,
    SIZE,
    build_pool,
    collect,
    collect_processes,
    describe,
    read_app_pool,
    read_holders,
    read_labels,
    read_values,
)
from tests.exporter.collectors.probes import build_probe, read_series


def test_a_pool_of_an_unknown_database_has_the_name_in_its_url() -> None:
    pool = read_app_pool("postgresql+psycopg://app@elsewhere/orders")
    (labels,) = read_labels(collect([], [pool]))
    assert labels == {"origin": "app", "pool": "main", "database": "orders"}


def test_a_pool_of_a_configured_database_has_its_name_and_labels() -> None:
    shop = build_probe("shop", "postgresql+asyncpg://probe@db/orders", labels={"team": "sales"})
    pool = read_app_pool("postgresql+psycopg://app@db:5432/orders")
    _, labels = read_labels(collect([shop], [pool]))
    assert labels == {"origin": "app", "pool": "main", "database": "shop", "team": "sales"}


def test_another_database_of_the_same_server_is_another_database() -> None:
    shop = build_probe("shop", "postgresql+asyncpg://probe@db/shop", labels={"team": "sales"})
    pool = read_app_pool("postgresql+psycopg://app@db/orders")
    _, labels = read_labels(collect([shop], [pool]))
    assert labels == {"origin": "app", "pool": "main", "database": "orders", "team": ""}


def test_pools_with_the_same_labels_are_summed() -> None:
    pools = [
        read_app_pool("postgresql+psycopg://app@one/orders", size=5),
        read_app_pool("postgresql+psycopg://app@two/orders", size=7),
    ]
    assert list(read_series(collect([], pools), SIZE).values()) == [12]


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
def test_a_pool_is_joined_to_the_database_it_leads_to(configured: str, apps: str) -> None:
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
def test_a_pool_of_another_endpoint_is_not_joined(configured: str, apps: str) -> None:
    _, labels = read_labels(collect([build_probe("shop", configured)], [describe(apps)]))
    assert labels["database"] != "shop"


def test_a_pool_is_joined_to_the_first_of_two_databases_with_one_endpoint() -> None:
    url = "postgresql+asyncpg://db/orders"
    probes = [build_probe("first", url), build_probe("second", url)]
    *_, labels = read_labels(collect(probes, [read_app_pool("postgresql+psycopg://db/orders")]))
    assert labels["database"] == "first"


def test_processes_of_one_pool_are_summed_and_counted() -> None:
    registry = collect_processes({"1-a": [build_pool(leaks=1)], "2-b": [build_pool(leaks=2)]})
    assert read_values(registry, LEAKS) == [3]
    assert read_values(registry, SIZE) == [10]
    assert read_values(registry, PROCESSES) == [2]


def test_two_pools_of_one_process_with_the_same_labels_are_in_one_process() -> None:
    registry = collect_processes({"1-a": [build_pool(host="one"), build_pool(host="two")]})
    assert read_values(registry, CHECKED_OUT) == [2]
    assert read_values(registry, PROCESSES) == [1]
    assert read_values(registry, ENGINES) == [2]


def test_full_processes_are_counted_and_each_once() -> None:
    full = build_pool()._replace(saturated_processes=1)
    twice = [full, full._replace(pool=replace(full.pool, host="two"))]
    registry = collect_processes({"1-a": twice, "2-b": [build_pool()], "3-c": [full]})
    assert read_values(registry, PROCESSES) == [3]
    assert read_values(registry, SATURATED) == [2]
    alone = collect_processes({"1-a": twice, "3-c": [full]}, per_process=True)
    assert read_values(alone, SATURATED) == [1, 1]


def test_a_dead_process_counts_and_is_in_no_gauge() -> None:
    dead = keep_counters(build_pool(leaks=2))
    registry = collect_processes({"": [dead], "1-a": [dead], "2-b": [build_pool(leaks=1)]})
    assert read_values(registry, LEAKS) == [5]
    assert read_values(registry, SIZE) == [5]
    assert read_values(registry, CHECKED_OUT) == [1]
    assert read_values(registry, PROCESSES) == [1]


def test_a_pool_whose_processes_are_all_dead_has_no_gauge() -> None:
    dead = keep_counters(build_pool(leaks=2))
    registry = collect_processes({"1-a": [dead]})
    samples = [sample for family in registry.collect() if family.type == "gauge"
               for sample in family.samples]  # fmt: skip
    assert samples == []
    assert read_values(registry, LEAKS) == [2]


def test_waits_are_shown_whichever_process_comes_first() -> None:
    pools = [build_pool(waits=False), build_pool(waits=True)]
    for first, second in (pools, reversed(pools)):
        registry = collect_processes({"1-a": [first], "2-b": [second]})
        assert read_values(registry, "sqlalchemy_pool_pending_checkouts") == [0]


def test_each_process_has_its_own_label() -> None:
    processes = {
        "": [keep_counters(build_pool(leaks=4))],
        "1-a": [build_pool(leaks=1)],
        "2-b": [keep_counters(build_pool(leaks=2))],
    }
    registry = collect_processes(processes, per_process=True)
    labels = {"origin": "app", "pool": "main", "database": "orders", "application": "shop"}
    assert registry.get_sample_value(LEAKS, {**labels, "process": "1-a"}) == 1
    assert registry.get_sample_value(LEAKS, {**labels, "process": "2-b"}) == 2
    assert len(read_values(registry, LEAKS)) == 2
    assert registry.get_sample_value(CHECKED_OUT, {**labels, "process": "1-a"}) == 1
    assert len(read_values(registry, CHECKED_OUT)) == 1


def test_pools_beyond_the_limit_are_summed_as_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.collectors.pool_sums.MAX_LABEL_SETS", 2)
    pools = [build_pool(f"p{number}", leaks=10**number) for number in range(4)]
    registry = collect([], pools)
    assert [labels["pool"] for labels in read_labels(registry)] == ["p0", "p1", "dropped"]
    (*_, labels) = read_labels(registry)
    assert labels == {"origin": "app", "pool": "dropped", "database": ""}
    assert read_values(registry, LEAKS) == [1, 10, 1100]


def test_pools_that_processes_dropped_are_added_to_those_dropped_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.collectors.pool_sums.MAX_LABEL_SETS", 1)
    dropped = Snapshot(PoolDescription(name="dropped"), 0, build_pool(leaks=5).additive)
    registry = collect([], [dropped, build_pool("p0", leaks=1), build_pool("p1", leaks=2)])
    assert read_values(registry, LEAKS) == [1, 7]


def test_a_pool_that_is_shown_keeps_its_place_when_others_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.collectors.pool_sums.MAX_LABEL_SETS", 1)
    pools = [build_pool("p1")]
    registry = collect([], pools)
    assert [labels["pool"] for labels in read_labels(registry)] == ["p1"]
    pools.insert(0, build_pool("p0"))
    assert [labels["pool"] for labels in read_labels(registry)] == ["p1", "dropped"]
    pools.remove(pools[1])
    assert [labels["pool"] for labels in read_labels(registry)] == ["p0"]


def read_infos(registry: CollectorRegistry) -> list[tuple[str, str]]:
    return [
        (sample.labels["agent_version"], sample.labels["timeout"])
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "sqlalchemy_pool_info" and sample.value == 1
    ]


def test_processes_that_are_set_up_alike_share_one_info() -> None:
    pools = [build_pool(timeout="30", size=size) for size in (5, 7)]
    assert read_infos(collect([], pools)) == [("", "30")]


def test_each_way_in_which_processes_are_set_up_has_its_info() -> None:
    old, new = build_pool(timeout="30"), build_pool(timeout="5", agent_version="2")
    processes = {"1-a": [new], "2-b": [old], "3-c": [new]}
    assert read_infos(collect_processes(processes)) == [("", "30"), ("2", "5")]
    processes["2-b"] = [keep_counters(old)]
    assert read_infos(collect_processes(processes)) == [("2", "5")]
    processes |= {"1-a": [keep_counters(new)], "3-c": []}
    assert read_infos(collect_processes(processes)) == []


def test_a_pool_has_at_most_20_infos() -> None:
    pools = [build_pool(timeout=str(number)) for number in range(25)]
    assert len(read_infos(collect([], pools))) == 20


def build_holders(*names: str) -> Snapshot:
    holders = tuple(HolderNumbers(name, 1, 2, 3_000_000_000) for name in names)
    return build_pool()._replace(holders=holders)


def test_holders_are_summed_over_processes_by_name() -> None:
    dead = keep_counters(build_holders("GET /"))
    registry = collect([], [build_holders("GET /", "report"), build_holders("GET /"), dead])
    assert read_holders(registry, "held_connections") == {"GET /": 2, "report": 1}
    assert read_holders(registry, "holds_total") == {"GET /": 6, "report": 2}
    assert read_holders(registry, "held_seconds_total") == {"GET /": 9, "report": 3}


def test_holders_of_ended_processes_have_only_counters() -> None:
    registry = collect([], [keep_counters(build_holders("GET /"))])
    assert read_holders(registry, "held_connections") == {}
    assert read_holders(registry, "holds_total") == {"GET /": 2}


def test_of_many_holders_200_are_shown_and_keep_their_series() -> None:
    names = [f"holder {number:03}" for number in range(250)]
    pools = [build_holders(*names)]
    registry = collect([], pools)
    shown = read_holders(registry, "holds_total")
    assert len(shown) == 200
    assert shown["other"] == 2 * 51

    pools.insert(0, build_holders("a new one", *reversed(names)))
    later = read_holders(registry, "holds_total")
    assert later.keys() == shown.keys()
    assert all(later[name] >= shown[name] for name in shown)
    assert sum(later.values()) == 2 * 501
