"""The rules in the chart: thresholds, alerts and links follow the values."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from deploy.copies import read_copies, read_originals
from tests.deploy.charts import CHART, ROOT, pick, read_manifests, render_alone

# Both; one alone; each by the other's name.
SEVERITIES = [
    {"page": "critical", "ticket": "warning"},
    {"page": "critical"},
    {"page": "ticket", "ticket": "page"},
]
ALERTS = (ROOT / "grafana" / "alerts" / "alerts.yaml").read_text()


def render_rules(**values: Any) -> list[dict[str, Any]]:
    manifests = render_alone({"prometheusRule": {"enabled": True, **values}})
    groups = pick(manifests, "PrometheusRule")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def render_dashboards(**values: Any) -> dict[str, Any]:
    """Return the dashboards by the names of their files."""
    rendered = render_alone({"dashboards": {"enabled": True}, "prometheusRule": values})
    data = [item for each in read_manifests(rendered) for item in each["data"].items()]
    dashboards = {f"dashboards/{name}": json.loads(text) for name, text in data}
    assert len(dashboards) == 2
    return dashboards


def read_rules(*names: str) -> list[dict[str, Any]]:
    files = [yaml.safe_load((ROOT / "grafana" / "alerts" / name).read_text()) for name in names]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def find_urls(value: Any) -> list[str]:
    """Return the targets of all links in a dashboard."""
    if isinstance(value, list):
        return [url for each in value for url in find_urls(each)]
    if not isinstance(value, dict):
        return []
    return [value["url"]] if "url" in value else find_urls(list(value.values()))


def find_alert(rules: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [rule for rule in rules if rule.get("alert") == name]
    return found


def test_the_chart_has_the_current_dashboards_and_rules() -> None:
    assert read_copies() == read_originals()


def test_the_default_values_render_the_rules_unchanged() -> None:
    assert render_rules() == read_rules("alerts.yaml", "recording.yaml")


def test_rules_for_the_names_of_opentelemetry_are_optional() -> None:
    with_them = render_rules(openTelemetry=True)
    assert [rule for rule in with_them if rule not in render_rules()] == read_rules(
        "opentelemetry.yaml"
    )


def test_each_threshold_is_a_value_with_the_default_of_the_rules() -> None:
    marked = re.findall(r"([\d.]+) +# threshold: (\w+)$", ALERTS, re.MULTILINE)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["prometheusRule"]["thresholds"] == {
        name: float(number) for number, name in marked
    }


@pytest.mark.parametrize("value", [7, 0.25, 1000000])
def test_a_threshold_changes_where_it_is_used_and_nowhere_else(value: float) -> None:
    changed = render_rules(thresholds={"checkoutErrorBudget": value})
    burn = find_alert(changed, "SQLAlchemyCheckoutBudgetBurn")["expr"]
    budgets = re.findall(r"\* ([\d.e+]+) +# threshold: checkoutErrorBudget", burn)
    assert [float(budget) for budget in budgets] == [value] * ALERTS.count("checkoutErrorBudget")
    others = [rule for rule in changed if rule.get("alert") != "SQLAlchemyCheckoutBudgetBurn"]
    assert all(rule in render_rules() for rule in others)


def test_an_alert_can_be_left_out() -> None:
    names = ["SQLAlchemyConnectionChurn", "SQLAlchemyDatabaseDown"]
    left = [rule.get("alert") for rule in render_rules(disabledAlerts=names)]
    assert left == [rule.get("alert") for rule in render_rules() if rule.get("alert") not in names]


def test_the_severities_in_the_values_are_those_of_the_rules() -> None:
    given = {rule["labels"]["severity"] for rule in read_rules("alerts.yaml")}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["prometheusRule"]["severities"] == {name: name for name in given}


@pytest.mark.parametrize("severities", SEVERITIES)
def test_alerts_have_the_severities_of_the_values(severities: dict[str, str]) -> None:
    before = [rule["labels"]["severity"] for rule in read_rules("alerts.yaml")]
    rules = render_rules(severities=severities, alertLabels={"team": "payments"})
    after = [rule["labels"]["severity"] for rule in rules if "alert" in rule]
    assert after == [severities.get(name, name) for name in before]


def test_alerts_alone_get_further_labels_and_keep_their_severity() -> None:
    rules = render_rules(alertLabels={"team": "payments"})
    assert find_alert(rules, "SQLAlchemyDatabaseDown")["labels"] == {
        "severity": "page",
        "team": "payments",
    }
    assert all("labels" not in rule for rule in rules if "record" in rule)


@pytest.mark.parametrize("slash", ["", "/"])
def test_links_begin_with_the_configured_address(slash: str) -> None:
    rules = render_rules(
        runbookUrl=f"https://git.example{slash}", dashboardUrl=f"https://grafana.example{slash}"
    )
    annotations = find_alert(rules, "SQLAlchemyDatabaseDown")["annotations"]
    assert annotations["runbook_url"].startswith("https://git.example/docs/runbooks.md#")
    assert annotations["dashboard_url"].startswith("https://grafana.example/d/")


def test_the_dashboards_link_to_the_same_runbooks() -> None:
    address = 'https://git.example/?a="b"&path=/'
    before, after = render_dashboards(), render_dashboards(runbookUrl=address)
    for name, dashboard in before.items():
        links = [url for url in find_urls(dashboard) if "runbooks.md" in url]
        assert links
        assert [f"{address}{url}" for url in links] == [
            url for url in find_urls(after[name]) if "runbooks.md" in url
        ]


@pytest.mark.parametrize("severities", [{}, *SEVERITIES])
def test_the_dashboards_query_the_configured_severities(severities: dict[str, str]) -> None:
    def rename(found: re.Match[str]) -> str:
        return rf"severity=\"{severities.get(found[1], found[1])}\""

    dashboards = {
        name: json.loads(re.sub(r'severity=\\"(\w+)\\"', rename, text))
        for name, text in read_copies().items()
        if name.endswith(".json")
    }
    assert render_dashboards(severities=severities) == dashboards
