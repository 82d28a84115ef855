"""The dashboards are up to date, valid and complete."""

from __future__ import annotations

import json
import re
from itertools import chain

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboard_queries import (
    VARIABLE,
    Json,
    list_annotations,
    list_panels,
    list_queries,
    list_variables,
    load_dashboard,
)
from grafana.source.__main__ import DASHBOARDS, FOLDER
from grafana.source.layout import render_dashboard
from tests.grafana.promql import list_selectors
from tests.test_docs_metrics import read_documented

OTHERS = {"up", "ALERTS", "scrape_duration_seconds"}
ROWS = {
    "overview.json": ["Status", "Saturation", "Wait", "Database", "Server limits", "Exporter"],
    "pool-detail.json": [
        *("Status", "Saturation", "Wait", "Who holds the connections", "Busy, or idle in hand"),
        *("Use", "Churn", "Leaks"),
        *("Database", "Server limits", "Exporter"),
    ],
}
PARAMETRIZED = pytest.mark.parametrize("name", list(DASHBOARDS))


def forget_placement(dashboard: Json) -> Json:
    """Remove the SDK's `placement` of links, which has no effect."""
    for each in chain(dashboard["links"], dashboard["annotations"]["list"]):
        each.pop("placement", None)
    return dashboard


def strip_suffix(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


@PARAMETRIZED
def test_the_committed_dashboard_is_up_to_date(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")

    assert committed == render_dashboard(DASHBOARDS[name]()), "run `make dashboards`"


@PARAMETRIZED
def test_sdk_reads_the_dashboard_without_loss(name: str) -> None:
    register_default_plugins()

    read = Dashboard.from_json(load_dashboard(name))

    assert forget_placement(json.loads(JSONEncoder().encode(read))) == load_dashboard(name)


@PARAMETRIZED
def test_rows_come_in_the_order_of_an_investigation(name: str) -> None:
    titles = [p["title"] for p in load_dashboard(name)["panels"] if p["type"] == "row"]

    assert [re.sub(r" \(.*", "", title) for title in titles] == ROWS[name]


@PARAMETRIZED
def test_every_panel_asks_a_question_and_explains_its_answers(
    name: str,
) -> None:
    for _, panel in list_panels(load_dashboard(name)):
        assert re.search(r"\?( \(.*\))?$", panel["title"]), panel["title"]
        for word in ("**Good:**", "**Bad:**", "**Do:**"):
            assert word in panel["description"], panel["title"]


@PARAMETRIZED
def test_every_panel_says_why_it_is_empty(name: str) -> None:
    for _, panel in list_panels(load_dashboard(name)):
        assert panel["fieldConfig"]["defaults"]["noValue"] not in ("", "-"), panel["title"]


@PARAMETRIZED
def test_panels_fill_the_width_and_do_not_overlap(name: str) -> None:
    places = [panel["gridPos"] for panel in load_dashboard(name)["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(set(cells)) == len(cells)
    assert len(cells) == 24 * max(place["y"] + place["h"] for place in places)
    assert {x for x, _ in cells} == set(range(24))


@PARAMETRIZED
def test_panel_ids_are_unique(name: str) -> None:
    ids = [panel["id"] for panel in load_dashboard(name)["panels"]]

    assert len(set(ids)) == len(ids)


@PARAMETRIZED
def test_queries_use_only_existing_metrics(name: str) -> None:
    dashboard = load_dashboard(name)
    named = {
        strip_suffix(selector.name)
        for query in list_queries(dashboard)
        for selector in list_selectors(query.expr)
    }

    unknown = named - set(read_documented()) - OTHERS

    assert {each for each in unknown if not each.startswith("process_")} == set()


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {
        strip_suffix(selector.name)
        for name in DASHBOARDS
        for query in list_queries(load_dashboard(name))
        for selector in list_selectors(query.expr)
    }

    assert set(read_documented()) - shown == set()


@PARAMETRIZED
def test_legends_use_labels_that_their_query_keeps(name: str) -> None:
    for _, panel in list_panels(load_dashboard(name)):
        for target in panel["targets"]:
            expr = target["expr"]
            # The first is the outermost; what those within it leave may be lost again.
            kept = re.search(r"by \(([^)]*)\)", expr)
            labels = set(kept[1].split(", ")) if kept else set()
            labels |= set(re.findall(r', "(\w+)", "\$1"', expr))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"] or "")) <= labels, expr


@PARAMETRIZED
def test_variables_in_queries_exist(name: str) -> None:
    dashboard = load_dashboard(name)
    known = list_variables(dashboard) | {"__rate_interval", "__range"}

    used = {
        match[1] or match[2]
        for _, panel in list_panels(dashboard)
        for target in panel["targets"]
        for match in VARIABLE.finditer(target["expr"])
    }

    assert {each for each in used if not each.isdigit()} <= known


@PARAMETRIZED
def test_all_includes_pods_without_kubernetes_labels(name: str) -> None:
    """A matcher treats a missing label as an empty one."""
    chosen = {each["name"]: each for each in load_dashboard(name)["templating"]["list"]}

    for label in ("namespace", "pod", "application", "database"):
        assert re.fullmatch(chosen[label]["allValue"], "")
    for query in list_queries(load_dashboard(name)):
        for selector in list_selectors(query.expr):
            for label in ("namespace", "pod"):
                assert re.fullmatch(selector.matchers.get(label, ""), ""), query.title


@PARAMETRIZED
def test_a_stack_below_the_limit_of_a_server_shows_one_database(name: str) -> None:
    for _, panel in list_panels(load_dashboard(name)):
        if any("limit of" in (target["legendFormat"] or "") for target in panel["targets"]):
            assert panel["repeat"] == "database", panel["title"]


@PARAMETRIZED
def test_missing_labels_in_tables_are_empty_texts(name: str) -> None:
    for _, panel in list_panels(load_dashboard(name)):
        if panel["type"] == "table":
            [texts] = [
                {each["id"]: each["value"] for each in override["properties"]}
                for override in panel["fieldConfig"]["overrides"]
                if override["matcher"]["id"] == "byRegexp"
            ]
            assert texts == {"unit": "string", "noValue": ""}, panel["title"]


@PARAMETRIZED
def test_alerts_are_annotations_in_the_panels(name: str) -> None:
    annotations = list_annotations(load_dashboard(name))

    severities = {
        selector.matchers["severity"]: selector.matchers["alertstate"]
        for _, expr in annotations
        for selector in list_selectors(expr)
    }

    assert severities == {"page": "firing", "ticket": "firing"}
