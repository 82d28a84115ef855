"""The contents of the project's rule files and runbooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from grafana.stage import rules

ROOT = Path(__file__).parents[2]
RULE_FILES = rules.RULE_FILES
TEST_FILES = sorted((ROOT / "grafana" / "alerts" / "tests").glob("*.yaml"))
# Has series of a kind that only Prometheus 3 knows.
[OF_PROMETHEUS_3] = [path for path in TEST_FILES if path.stem == "native_histograms"]
RULES: list[dict[str, Any]] = [
    rule
    for path in RULE_FILES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERT_RULES = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}

RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
# With two anchors: alerts link to the lower-case one, and dashboards cannot convert a name to it.
SECTION = re.compile(r'^<a id="(\w+)"></a>\n\n## \1\n(.*?)^(?=<a |## )', re.MULTILINE | re.DOTALL)
SECTIONS: dict[str, str] = dict(SECTION.findall(RUNBOOKS))


def list_queries(section: str) -> list[str]:
    """Return the queries in an alert's section of the runbooks."""
    [block] = re.findall(r"```promql\n(.*?)```", section, re.DOTALL)
    return str(block).splitlines()
