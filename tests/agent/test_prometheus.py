"""The metric families that an application or the exporter exposes."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.pool import NullPool, QueuePool

from sqlalchemy_pool_metrics import holder, instrument, read_pool
from sqlalchemy_pool_metrics.families import APP_FAMILIES, FAMILIES
from sqlalchemy_pool_metrics.layout import CLOSE_REASONS
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS, PoolCollector, build_metric
from sqlalchemy_pool_metrics.snapshot import keep_counters
from tests.agent.children import use
from tests.agent.stub_driver import build_engine


def samples(text: str, pool: str) -> dict[str, float]:
    """Return the values of one pool by sample name and further labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("pool") == pool:
                rest = {k: v for k, v in sample.labels.items() if k not in POOL_LABELS}
                found[sample.name + "".join(f"{{{k}={v}}}" for k, v in rest.items())] = sample.value
    return found


def scrape() -> str:
    registry = CollectorRegistry()
    registry.register(PoolCollector())
    return generate_latest(registry).decode()


def test_an_application_can_register_its_pools() -> None:
    engine = instrument(build_engine(QueuePool, pool_size=2, max_overflow=1), name="registered")
    connection = engine.raw_connection()
    engine.raw_connection().close()
    seen = samples(scrape(), "registered")
    connection.close()

    assert seen["sqlalchemy_pool_size"] == 2
    assert seen["sqlalchemy_pool_max_connections"] == 3
    assert seen["sqlalchemy_pool_checked_out"] == 1
    assert seen["sqlalchemy_pool_checked_in"] == 1
    assert seen["sqlalchemy_pool_checkouts_total"] == 2
    assert seen["sqlalchemy_pool_checkout_duration_seconds_count"] == 2
    assert seen["sqlalchemy_pool_checkout_duration_seconds_bucket{le=+Inf}"] == 2
    assert seen["sqlalchemy_pool_hold_duration_seconds_count"] == 1
    assert seen["sqlalchemy_pool_checkout_failures_total{reason=timeout}"] == 0
    for reason in CLOSE_REASONS:
        assert seen[f"sqlalchemy_pool_connections_closed_total{{reason={reason}}}"] == 0


def test_the_info_of_a_pool_has_its_settings_as_labels() -> None:
    engine = instrument(build_engine(QueuePool, timeout=5), name="set up")
    engine.raw_connection().close()
    (info,) = [name for name in samples(scrape(), "set up") if "pool_info" in name]

    assert "{dialect=stub}{driver=stub}{pool_class=QueuePool}{pre_ping=false}{recycle=none}" in info
    assert "{timeout=5}{use_lifo=false}" in info


def test_labels_name_the_pool_its_database_and_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SQLALCHEMY_POOL_METRICS_APP", "orders")
    use(instrument(build_engine(QueuePool), name="labelled"))

    assert (
        'sqlalchemy_pool_size{application="orders",database="shop",origin="app",pool="labelled"}'
        in scrape()
    )


def test_the_default_application_is_opentelemetrys_service_or_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SQLALCHEMY_POOL_METRICS_APP", raising=False)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "billing")
    assert read_pool(instrument(build_engine(QueuePool))).pool.application == "billing"
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    monkeypatch.setattr("sys.argv", ["/usr/bin/gunicorn", "shop.wsgi:app"])
    assert read_pool(instrument(build_engine(QueuePool))).pool.application == "shop"


def test_two_engines_with_one_pool_name_count_as_one_process() -> None:
    engines = [
        instrument(build_engine(QueuePool, pool_size=2, max_overflow=0), name="twice")
        for _ in range(2)
    ]
    held = [engine.raw_connection() for engine in engines for _ in range(2)]
    seen = samples(scrape(), "twice")

    assert seen["sqlalchemy_pool_size"] == seen["sqlalchemy_pool_checked_out"] == len(held) == 4
    assert seen["sqlalchemy_pool_processes"] == seen["sqlalchemy_pool_saturated_processes"] == 1
    assert seen["sqlalchemy_pool_engines"] == seen["sqlalchemy_pool_engines_created_total"] == 2


def test_a_pool_that_is_gone_has_counters_and_no_gauges() -> None:
    engine = instrument(build_engine(QueuePool), name="gone")
    with holder("report"):
        engine.raw_connection().close()
    pools = [({"pool": "gone"}, keep_counters(read_pool(engine)))]
    families = {f.name: build_metric(f, pools) for f in (*FAMILIES, *APP_FAMILIES)}

    gauges = {name for name, family in families.items() if family.type == "gauge"}
    assert {name for name in gauges if families[name].samples} == set()
    assert {name for name in families.keys() - gauges if not families[name].samples} == set()
    assert families["sqlalchemy_pool_checkouts"].samples[0].value == 1


def test_a_value_that_a_pool_cannot_know_is_absent() -> None:
    engine = instrument(build_engine(NullPool), name="null")
    engine.raw_connection().close()
    seen = samples(scrape(), "null")

    for absent in (
        "size",
        "max_connections",
        "overflow",
        "pending_checkouts",
        "pending_seconds_total",
    ):
        assert f"sqlalchemy_pool_{absent}" not in seen
    assert not [name for name in seen if "wait_duration" in name]
    assert seen["sqlalchemy_pool_checkouts_total"] == 1
