"""Queries of histograms also answer where Prometheus has converted these to native ones.

A real Prometheus 3 converts what it scrapes from a real exporter, so that no series ends in
`_bucket`, `_sum` or `_count`. The rules also have promtool tests with native histograms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from grafana.dashboard_queries import list_queries, load_dashboard
from grafana.stage.prometheus import Prometheus, run_prometheus
from grafana.stage.scenes import Scenario, open_scene
from tests.grafana import rule_files
from tests.grafana.promql import list_selectors
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.programs import find_prometheus_3
from tests.test_docs_metrics import read_documented

CLASSIC = re.compile(r"_(bucket|sum|count)$")
HISTOGRAMS = {name for name, (kind, _) in read_documented().items() if kind == "histogram"}
# By name. A part of a classic histogram under another name is one still; the whole has a rule, too.
RULES = {
    name: rule["expr"]
    for rule in rule_files.RULES
    if not CLASSIC.search(name := rule.get("record") or rule["alert"])
}
# Callers that wait, and connections that are opened again and again.
SCENARIO = Scenario(
    "busy",
    pool={"pool_size": 1, "max_overflow": 1},
    orders=[("use", {"threads": 4, "hold": 0.05, "pause": 0.05})],
)


@pytest.fixture(scope="module")
def prometheus(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    find_prometheus_3("prometheus")
    folder = tmp_path_factory.mktemp("native")
    with (
        open_scene(SCENARIO, folder, postgres, {}) as scene,
        run_prometheus(folder, list(scene.list_targets()), native=True) as started,
    ):
        scene.begin()
        yield started


def list_histograms(expr: str) -> set[str]:
    """Return the histograms that a query asks for, in whichever form."""
    return {CLASSIC.sub("", each.name) for each in list_selectors(expr)} & HISTOGRAMS


def list_expressions() -> list[str]:
    """Return every query of dashboards, runbooks and rules that asks for a histogram."""
    panels = [
        query.expr
        for name in ("overview.json", "pool-detail.json")
        for query in list_queries(load_dashboard(name), {"__rate_interval": "10s"})
    ]
    runbooks = [
        query
        for section in rule_files.SECTIONS.values()
        for query in rule_files.list_queries(section)
    ]
    return sorted({each for each in (*panels, *runbooks, *RULES.values()) if list_histograms(each)})


def test_every_histogram_is_asked_for() -> None:
    assert set().union(*map(list_histograms, list_expressions())) == HISTOGRAMS


def test_every_rule_of_histograms_has_a_promtool_test_with_native_ones() -> None:
    tested = rule_files.OF_PROMETHEUS_3.read_text(encoding="utf-8")

    assert [n for n, expr in RULES.items() if list_histograms(expr) and n not in tested] == []


@pytest.mark.parametrize("expr", list_expressions())
def test_query_answers(prometheus: Prometheus, expr: str) -> None:
    def has_number() -> bool:
        samples = prometheus.query(expr)
        return any(each.get("value", [0, ""])[1] != "NaN" for each in samples)

    wait_until(has_number, f"an answer to {expr}", 30)


def test_no_classic_histogram_is_there(prometheus: Prometheus) -> None:
    wait_until(lambda: bool(prometheus.query(min(HISTOGRAMS))), "a native histogram", 30)

    assert not prometheus.query(f'{{__name__=~"({"|".join(HISTOGRAMS)})_(bucket|sum|count)"}}')
