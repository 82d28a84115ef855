"""The project's rule files and runbooks, read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana" / "alerts"
RULE_FILES = sorted(FOLDER.glob("*.yaml"))
TEST_FILES = sorted((FOLDER / "tests").glob("*.yaml"))
RULES: list[dict[str, Any]] = [
    rule
    for path in RULE_FILES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERT_RULES = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}

RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
# With a name as the links of alerts have it, and one for those of the dashboards, which cannot make
# it small.
SECTION = re.compile(r'^<a id="(\w+)"></a>\n\n## \1\n(.*?)^(?=<a |## )', re.MULTILINE | re.DOTALL)
SECTIONS: dict[str, str] = dict(SECTION.findall(RUNBOOKS))


def list_queries(section: str) -> list[str]:
    """The queries of an alert's section in the runbooks."""
    [block] = re.findall(r"```promql\n(.*?)```", section, re.DOTALL)
    return str(block).splitlines()
