"""The rules of github.com/grafana/dashboard-linter, by the names that it gives them."""

from __future__ import annotations

import re
from datetime import timedelta

import promql_parser
import pytest
import yaml

from grafana.dashboard_queries import (
    FOLDER,
    Json,
    list_panels,
    list_queries,
    list_variable_queries,
    load_dashboard,
)
from tests.grafana.promql import Selector, list_selectors

# Stand for the variables, as in the linter: no query has them otherwise.
RATE_INTERVAL = "11m"
MARKS = {"job": "$job", "instance": "$instance", "__rate_interval": RATE_INTERVAL}
UNITS = {
    *("short", "percentunit", "s", "bytes", "ops", "cps", "cpm"),
    *("dateTimeFromNow", "string"),
}


@pytest.fixture(params=["overview.json", "pool-detail.json"])
def dashboard(request: pytest.FixtureRequest) -> Json:
    return load_dashboard(request.param)


def find_variable(dashboard: Json, name: str) -> Json:
    [found] = [each for each in dashboard["templating"]["list"] if each["name"] == name]
    assert isinstance(found, dict)
    return found


def list_all_selectors(dashboard: Json) -> list[tuple[str, Selector]]:
    return [
        (query.title, selector)
        for query in list_queries(dashboard, MARKS)
        for selector in list_selectors(query.expr)
    ]


def read_exclusions(rule: str) -> set[str]:
    text = (FOLDER / ".lint").read_text(encoding="utf-8")
    return {entry["panel"] for entry in yaml.safe_load(text)["exclusions"][rule]["entries"]}


def test_template_datasource(dashboard: Json) -> None:
    sources = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]

    assert [(each["name"], each["label"], each["query"]) for each in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance(dashboard: Json, name: str) -> None:
    variable = find_variable(dashboard, name)

    assert variable["datasource"]["uid"] == "$datasource"
    assert variable["type"] == "query"
    assert variable["label"] == name.title()
    assert variable["multi"]
    assert variable["allValue"] == ".+"


def test_template_label_promql(dashboard: Json) -> None:
    for _, series, _ in list_variable_queries(dashboard):
        assert list_selectors(series)


def test_template_on_time_change_reload(dashboard: Json) -> None:
    queries = [each for each in dashboard["templating"]["list"] if each["type"] == "query"]

    assert queries
    assert {each["refresh"] for each in queries} == {2}


def test_panels_have_the_data_source_variable_a_title_a_description_and_targets(
    dashboard: Json,
) -> None:
    for _, panel in list_panels(dashboard):
        assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}
        assert panel["title"]
        assert panel["description"]
        assert panel["targets"]


def test_panel_units(dashboard: Json) -> None:
    for _, panel in list_panels(dashboard):
        overrides = panel["fieldConfig"]["overrides"]
        units = {
            each["value"]
            for override in overrides
            for each in override["properties"]
            if each["id"] == "unit"
        }
        assert units | {panel["fieldConfig"]["defaults"]["unit"]} <= UNITS, panel["title"]


def test_target_promql_parses(dashboard: Json) -> None:
    for query in list_queries(dashboard):
        assert list_selectors(query.expr), query


def test_target_rate_interval(dashboard: Json) -> None:
    minutes = timedelta(minutes=int(RATE_INTERVAL.removesuffix("m")))
    rates = 0
    for title, selector in list_all_selectors(dashboard):
        *_, call, matrix = (None, None, *selector.parents)
        if isinstance(call, promql_parser.Call) and call.func.name in ("rate", "irate"):
            assert isinstance(matrix, promql_parser.MatrixSelector)
            assert matrix.range == minutes, title
            rates += 1
    assert rates > 10


def test_target_job(dashboard: Json) -> None:
    for title, selector in list_all_selectors(dashboard):
        assert selector.matchers["job"] == "$job", title


def test_target_instance(dashboard: Json) -> None:
    excluded = read_exclusions("target-instance-rule")
    for title, selector in list_all_selectors(dashboard):
        assert selector.matchers.get("instance") == "$instance" or title in excluded, title


def test_excluded_panels_need_it() -> None:
    needy = {
        title
        for name in ("overview.json", "pool-detail.json")
        for title, selector in list_all_selectors(load_dashboard(name))
        if selector.matchers.get("instance") != "$instance"
    }

    assert read_exclusions("target-instance-rule") == needy


def test_target_counter_agg(dashboard: Json) -> None:
    for title, selector in list_all_selectors(dashboard):
        if re.search(r"_(total|bucket|count|sum)$", selector.name):
            *_, call, _ = (None, *selector.parents)
            assert isinstance(call, promql_parser.Call), title
            assert call.func.name in ("rate", "irate", "increase"), title


def test_dashboards_are_not_editable_and_have_fixed_uids(dashboard: Json) -> None:
    assert dashboard["editable"] is False
    assert re.fullmatch(r"[a-z-]{1,40}", dashboard["uid"])
