"""What the probes found becomes series; what they did not find is absent."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from sqlalchemy_pool_exporter.collectors.databases import DatabaseCollector
from sqlalchemy_pool_exporter.failures import PROBE_REASONS, Reason
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.probes.check import CONNECT_BOUNDS, Kind, Phase, Result
from tests.exporter.collectors.probes import (
    SERVER,
    build_failure,
    build_probe,
    build_registry,
    build_success,
    read_series,
)

PREFIX = "sqlalchemy_database"
KNOWN_WHILE_UP = (
    "info",
    "writable",
    "server_max_connections",
    "server_reserved_connections",
    "server_connections",
)


def collect(*probes: Probe) -> CollectorRegistry:
    return build_registry(DatabaseCollector({probe.name: probe for probe in probes}))


def test_a_database_is_down_and_has_no_other_series_until_a_probe_succeeds() -> None:
    registry = collect(build_probe())
    assert read_series(registry, f"{PREFIX}_up") == {("shop",): 0}
    for name in (*KNOWN_WHILE_UP, "role_mismatch", "probe_last_success_timestamp_seconds"):
        assert read_series(registry, f"{PREFIX}_{name}") == {}


def test_a_database_that_answered_has_all_its_series() -> None:
    probe = build_probe()
    probe.last, probe.last_success_timestamp = build_success(), 1234.5
    registry = collect(probe)
    assert read_series(registry, f"{PREFIX}_up") == {("shop",): 1}
    assert read_series(registry, f"{PREFIX}_info") == {("shop", "postgresql", "asyncpg", "16.4"): 1}
    assert read_series(registry, f"{PREFIX}_writable") == {("shop",): 1}
    assert read_series(registry, f"{PREFIX}_server_max_connections") == {("shop",): 100}
    assert read_series(registry, f"{PREFIX}_server_reserved_connections") == {("shop",): 3}
    assert read_series(registry, f"{PREFIX}_server_connections") == {
        ("shop", "active"): 2,
        ("shop", "idle"): 5,
        ("shop", "idle_in_transaction"): 1,
        ("shop", "other"): 6,
    }
    name = f"{PREFIX}_probe_last_success_timestamp_seconds"
    assert read_series(registry, name) == {("shop",): 1234.5}


def test_a_scrape_shows_what_a_probe_has_found_since_the_last_one() -> None:
    probe = build_probe()
    registry = collect(probe)
    assert read_series(registry, f"{PREFIX}_up") == {("shop",): 0}
    probe.last = build_success()
    assert read_series(registry, f"{PREFIX}_up") == {("shop",): 1}


def test_series_of_the_server_disappear_when_it_is_down_and_others_stay() -> None:
    probe = build_probe()
    probe.last, probe.last_success_timestamp = build_failure(), 1234.5
    registry = collect(probe)
    assert read_series(registry, f"{PREFIX}_up") == {("shop",): 0}
    for name in KNOWN_WHILE_UP:
        assert read_series(registry, f"{PREFIX}_{name}") == {}
    name = f"{PREFIX}_probe_last_success_timestamp_seconds"
    assert read_series(registry, name) == {("shop",): 1234.5}


def test_a_value_that_the_server_does_not_report_is_absent_and_not_zero() -> None:
    probe = build_probe()
    server = replace(SERVER, writable=None, max_connections=None, connections=None)
    probe.last = build_success(server)
    registry = collect(probe)
    for name in ("writable", "server_max_connections", "server_connections"):
        assert read_series(registry, f"{PREFIX}_{name}") == {}
    assert read_series(registry, f"{PREFIX}_server_reserved_connections") == {("shop",): 3}


def test_a_state_that_the_server_does_not_report_is_absent() -> None:
    probe = build_probe()
    probe.last = build_success(replace(SERVER, connections={"active": 0}))
    series = read_series(collect(probe), f"{PREFIX}_server_connections")
    assert series == {("shop", "active"): 0}


def test_a_replica_shows_its_lag() -> None:
    probe = build_probe()
    probe.last = build_success(replace(SERVER, writable=False, replication_lag_seconds=2.5))
    registry = collect(probe)
    assert read_series(registry, f"{PREFIX}_writable") == {("shop",): 0}
    assert read_series(registry, f"{PREFIX}_replication_lag_seconds") == {("shop",): 2.5}


@pytest.mark.parametrize("mismatch", [True, False])
def test_a_role_that_the_server_contradicts_is_a_mismatch(mismatch: bool) -> None:
    probe = build_probe()
    probe.last = build_success(mismatch=mismatch)
    assert read_series(collect(probe), f"{PREFIX}_role_mismatch") == {("shop",): mismatch}


def test_every_kind_and_result_counts_from_zero() -> None:
    probe = build_probe()
    probe.probes_total[Kind.FRESH, Result.ERROR] += 3
    assert read_series(collect(probe), f"{PREFIX}_probes_total") == {
        ("shop", "pooled", "ok"): 0,
        ("shop", "pooled", "error"): 0,
        ("shop", "fresh", "ok"): 0,
        ("shop", "fresh", "error"): 3,
    }


def test_every_reason_counts_from_zero() -> None:
    probe = build_probe()
    probe.probe_errors_total[Reason.AUTH] += 2
    series = read_series(collect(probe), f"{PREFIX}_probe_errors_total")
    assert series == {
        ("shop", str(reason)): 2 * (reason == Reason.AUTH) for reason in PROBE_REASONS
    }


def test_each_phase_has_a_cumulative_histogram() -> None:
    probe = build_probe()
    for seconds in (0.0005, 0.02, 60):
        probe.durations[Phase.QUERY].observe(seconds)
    registry = collect(probe)
    buckets = read_series(registry, f"{PREFIX}_probe_duration_seconds_bucket")
    bounds = [bound for _, bound, phase in buckets if phase == "query"]
    assert bounds == [*map(str, CONNECT_BOUNDS), "+Inf"]
    assert [buckets["shop", bound, "query"] for bound in ("0.001", "0.01", "0.025", "30.0")] == [
        1, 1, 2, 2,
    ]  # fmt: skip
    assert read_series(registry, f"{PREFIX}_probe_duration_seconds_count") == {
        ("shop", "checkout"): 0,
        ("shop", "connect"): 0,
        ("shop", "query"): 3,
    }
    sums = read_series(registry, f"{PREFIX}_probe_duration_seconds_sum")
    assert sums["shop", "query"] == pytest.approx(60.0205)


def test_every_series_of_a_family_has_the_labels_of_all_databases() -> None:
    shop = build_probe("shop", labels={"team": "sales"})
    orders = build_probe("orders", labels={"tier": "gold"})
    registry = collect(shop, orders, build_probe("plain"))
    for family in registry.collect():
        names = {tuple(sorted({*sample.labels} - {"le"})) for sample in family.samples}
        assert len(names) <= 1, family.name
    assert read_series(registry, f"{PREFIX}_up") == {
        ("shop", "sales", ""): 0,
        ("orders", "", "gold"): 0,
        ("plain", "", ""): 0,
    }


def test_every_family_explains_itself() -> None:
    for family in collect(build_probe()).collect():
        assert len(family.documentation) > 20
        assert family.documentation.endswith(".")
        if family.name.endswith("_seconds"):
            assert "seconds" in family.documentation
