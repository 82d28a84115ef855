"""The rules for Prometheus: promtool accepts them, and each has its promtool tests."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.grafana.rule_files import (
    ALERT_RULES,
    OF_PROMETHEUS_3,
    RECORDS,
    RULE_FILES,
    RULES,
    SECTIONS,
    TEST_FILES,
    list_queries,
)
from tests.servers.programs import find_program, find_prometheus_3
from tests.test_docs_metrics import read_documented

CASES: list[dict[str, Any]] = [
    case for path in TEST_FILES for case in yaml.safe_load(path.read_text())["tests"]
]

# What Prometheus itself writes.
PROMETHEUS_SERIES = {"up", "ALERTS"}
METRIC = re.compile(r"\b(?:sqlalchemy_[\w:]+|ALERTS\w*|up)\b(?=\s*[{\[)<>=]|\s|$)")
THRESHOLD = re.compile(r"([\d.]+)  # threshold: (\w+)$", re.MULTILINE)
DASHBOARD = re.compile(r"/d/(sqlalchemy-pool-(?:overview|detail))\?")


def list_series() -> set[str]:
    """Return the names of all documented series, including those of histograms."""
    return {
        name + end
        for name, (kind, _) in read_documented().items()
        for end in (("", "_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }


def list_expressions() -> list[str]:
    """Return every query, also those in texts, without strings and comments."""
    queries = [rule["expr"] for rule in RULES]
    for rule in ALERT_RULES.values():
        queries += re.findall(r'query \(printf "([^"]+)"', str(rule["annotations"]))
    return [re.sub(r'"[^"]*"|#.*', "", query) for query in queries]


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_promtool_accepts_the_rules(path: Path) -> None:
    promtool = find_program("promtool", package="prometheus")

    result = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_rules_pass_their_promtool_tests(path: Path) -> None:
    if path == OF_PROMETHEUS_3:
        promtool = find_prometheus_3("promtool")
    else:
        promtool = find_program("promtool", package="prometheus")

    result = subprocess.run(
        [promtool, "test", "rules", path], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    seen: dict[str, set[bool]] = defaultdict(set)
    for case in CASES:
        for test in case.get("alert_rule_test", []):
            seen[test["alertname"]].add(bool(test["exp_alerts"]))

    assert seen == {name: {True, False} for name in ALERT_RULES}


def test_every_alert_has_a_case_with_its_labels_and_texts() -> None:
    keys = {"summary", "description", "runbook_url", "dashboard_url"}
    for case in CASES:
        for test in case.get("alert_rule_test", []):
            for alert in test["exp_alerts"]:
                assert set(alert["exp_annotations"]) == keys, test["alertname"]
                assert "severity" in alert["exp_labels"], test["alertname"]


def test_every_recording_rule_has_a_case_with_its_value_and_one_without() -> None:
    seen: dict[str, set[bool]] = defaultdict(set)
    for case in CASES:
        for test in case.get("promql_expr_test", []):
            for record in RECORDS & set(re.findall(r"[\w:]+", test["expr"])):
                seen[record].add(bool(test["exp_samples"]))

    assert seen == {record: {True, False} for record in RECORDS}


@pytest.mark.parametrize("name", sorted(ALERT_RULES))
def test_every_alert_has_texts_and_links(name: str) -> None:
    rule = ALERT_RULES[name]
    annotations = rule["annotations"]

    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert annotations["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    assert DASHBOARD.match(annotations["dashboard_url"])
    values = re.findall(r"{{ (?:\.|\$)[^}]*}}", annotations["dashboard_url"])
    assert values
    assert all(value.endswith(" | urlquery }}") for value in values)
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["for"]


def test_every_alert_has_a_runbook_with_three_queries() -> None:
    assert SECTIONS.keys() == ALERT_RULES.keys()
    for name, section in SECTIONS.items():
        assert len(list_queries(section)) == 3, name
        assert f"*{ALERT_RULES[name]['labels']['severity']}*" in section
        assert "**Users feel**" in section, name


def test_every_text_names_the_pod_and_without_kubernetes_the_instance() -> None:
    texts = [str(rule["annotations"]) for rule in ALERT_RULES.values()]
    uses = [use for text in texts for use in re.findall(r"{{[^}]*\$labels\.pod[^}]*}}", text)]

    assert set(uses) == {"{{ or $labels.pod $labels.instance }}", "{{ with $labels.pod }}"}


def test_rules_query_only_existing_metrics() -> None:
    asked = {name for query in list_expressions() for name in METRIC.findall(query)}

    assert {"up", "ALERTS", "sqlalchemy_database_up"} <= asked
    assert asked <= list_series() | RECORDS | PROMETHEUS_SERIES


def test_a_named_threshold_has_one_value_everywhere() -> None:
    values = defaultdict(set)
    for path in RULE_FILES:
        text = path.read_text()
        found = THRESHOLD.findall(text)
        # All but the one at the top of the file, which explains the notation.
        assert len(found) == len(re.findall(r"^ .*# threshold:", text, re.MULTILINE)), path.name
        for value, name in found:
            values[name].add(value)

    assert values
    assert {name: found for name, found in values.items() if len(found) > 1} == {}
