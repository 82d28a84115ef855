"""Links between dashboards, from alerts to dashboards, and to the runbooks."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, urlsplit

import pytest

from grafana.dashboard_queries import Json, list_panels, list_variables, load_dashboard
from tests.grafana.rule_files import ALERT_RULES

DASHBOARDS = ("overview.json", "pool-detail.json")
PARAMETRIZED = pytest.mark.parametrize("name", DASHBOARDS)


def list_urls(dashboard: Json) -> list[str]:
    """Return the links to dashboards in the panels of a dashboard."""
    return re.findall(r'"url": "(/d/[^"]+)"', json.dumps(dashboard["panels"]))


def find_dashboard(url: str) -> Json:
    uid = urlsplit(url).path.removeprefix("/d/")
    [found] = [each for each in map(load_dashboard, DASHBOARDS) if each["uid"] == uid]
    return found


@PARAMETRIZED
def test_links_lead_to_dashboards_with_their_variables(name: str) -> None:
    dashboard = load_dashboard(name)
    urls = list_urls(dashboard)

    assert urls
    for url in urls:
        kept = set(re.findall(r"\$\{(\w+):queryparam\}", url))
        given = {key.removeprefix("var-") for key, _ in parse_qsl(urlsplit(url).query)}
        assert "${__url_time_range}" in url
        assert kept <= list_variables(dashboard)
        assert kept | {each for each in given if "$" not in each} <= list_variables(
            find_dashboard(url)
        )


def test_alerts_lead_to_dashboards_with_their_variables() -> None:
    urls = [rule["annotations"]["dashboard_url"] for rule in ALERT_RULES.values()]

    assert urls
    for url in urls:
        given = set(re.findall(r"var-(\w+)=", url))
        assert given <= list_variables(find_dashboard(url[url.index("/d/") :]))


@PARAMETRIZED
def test_top_links_keep_time_and_variables(name: str) -> None:
    dashboards, runbooks = load_dashboard(name)["links"]

    assert set(dashboards["tags"]) <= set(load_dashboard(name)["tags"])
    assert dashboards["keepTime"]
    assert dashboards["includeVars"]
    assert runbooks["url"] == "docs/runbooks.md"


@PARAMETRIZED
def test_an_alert_leads_to_its_runbook(name: str) -> None:
    [table] = [
        p for _, p in list_panels(load_dashboard(name)) if p["title"] == "Which alerts fire?"
    ]

    assert "docs/runbooks.md#${__data.fields.alertname}" in json.dumps(table["fieldConfig"])
