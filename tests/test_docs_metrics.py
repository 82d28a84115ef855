"""docs/metrics.md and /metrics agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from sqlalchemy_pool_exporter.failures import PROBE_REASONS
from sqlalchemy_pool_exporter.settings.databases import RESERVED_LABELS
from sqlalchemy_pool_exporter.shared_files import FileState
from sqlalchemy_pool_metrics.layout import CLOSE_REASONS, FAILURE_REASONS
from tests.exporter.web.clients import build_app, open_client
from tests.servers.accounts import DATABASE, MONITOR
from tests.servers.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.anyio

DOCS = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (gauge|counter|histogram) \|([^|]*)\|", re.MULTILINE)
COMMON_LABELS = {
    "sqlalchemy_pool_": {"origin", "pool", "database", "application", "team"},
    "sqlalchemy_database_": {"database", "team"},
    "sqlalchemy_pool_exporter_": set(),
}


def read_documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Return type and labels by full name from the tables."""
    documented = {}
    for section in re.split(r"^## ", DOCS, flags=re.MULTILINE):
        prefix = re.search(r"Prefix `(\w+)`", section)
        for name, kind, labels in ROW.findall(section):
            assert prefix, f"{name} stands in a section without a prefix"
            own = set(re.findall(r"`(\w+)`", labels))
            documented[prefix[1] + name] = kind, frozenset(own | COMMON_LABELS[prefix[1]])
    return documented


def read_documented_reasons(heading: str) -> list[str]:
    table = DOCS.split(heading)[1].split("\n\n")[1]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def full_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def ours(families: list[Metric]) -> Iterator[Metric]:
    return (family for family in families if family.name.startswith("sqlalchemy_"))


@pytest.fixture
async def families(postgres: EmbeddedPostgres) -> list[Metric]:
    """A scrape of an exporter with a probed PostgreSQL that has a label of its own."""
    url = postgres.url(DATABASE, *MONITOR, driver="asyncpg")
    app = build_app({"shop": {"url": url, "role": "primary", "labels": {"team": "core"}}})
    async with open_client(app) as client:
        await client.get("/health/db")
        text = (await client.get("/metrics")).text
    return list(text_string_to_metric_families(text))


async def test_the_documented_metrics_and_types_are_the_exported_ones(
    families: list[Metric],
) -> None:
    documented = {name: kind for name, (kind, _) in read_documented().items()}

    assert {full_name(family): family.type for family in ours(families)} == documented


async def test_the_documented_labels_are_the_exported_ones(families: list[Metric]) -> None:
    documented = read_documented()
    unseen = []
    for family in ours(families):
        expected = documented[full_name(family)][1]
        labels = {frozenset(s.labels) | (expected & {"le"}) for s in family.samples}
        if not labels:
            unseen.append(family.name)
        assert labels <= {expected}, family.name
    assert unseen == [
        "sqlalchemy_pool_processes",  # of an application, and there is none
        "sqlalchemy_pool_saturated_processes",
        "sqlalchemy_pool_engines",
        "sqlalchemy_pool_held_connections",  # nobody asks who holds the probes' connections
        "sqlalchemy_pool_holds",
        "sqlalchemy_pool_held_seconds",
        "sqlalchemy_pool_held_busy_seconds",
        "sqlalchemy_pool_leaks",
        "sqlalchemy_pool_overdue_connections",
        "sqlalchemy_database_replication_lag_seconds",  # this server is a primary
    ]


def test_no_label_of_a_user_can_be_one_that_is_documented() -> None:
    labels = {label for _, labels in read_documented().values() for label in labels}
    assert labels - {"team"} <= RESERVED_LABELS


async def test_the_documented_buckets_are_the_exported_ones(families: list[Metric]) -> None:
    documented = {
        name: [float(bound) for bound in bounds.split()]
        for name, bounds in re.findall(r"^\| `(\w+)` \| ([\d. ]+) \|$", DOCS, re.MULTILINE)
    }
    seen: dict[str, list[float]] = {}
    for family in families:
        for sample in family.samples:
            bound = sample.labels.get("le")
            if family.type == "histogram" and bound and bound != "+Inf":
                bounds = seen.setdefault(family.name, [])
                bounds += [float(bound)] if float(bound) not in bounds else []

    assert seen == documented


def test_every_reason_is_documented() -> None:
    assert read_documented_reasons("Why a connection leaves the pool") == list(CLOSE_REASONS)
    of_probes = read_documented_reasons("Why a probe failed")
    assert of_probes == [reason.value for reason in PROBE_REASONS]
    of_statements = read_documented_reasons("What the reasons of statements mean")
    assert {*of_probes, *of_statements} == set(FAILURE_REASONS)


def test_every_state_of_a_file_is_documented() -> None:
    assert read_documented_reasons("State of a file") == [state.value for state in FileState]
