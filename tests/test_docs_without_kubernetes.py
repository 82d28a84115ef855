"""The steps in docs/dashboards.md for a Prometheus without Kubernetes work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.servers.programs import find_program

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
RUNBOOKS = "https://git.example.com/exporter/blob/main/docs/runbooks.md"
GRAFANA = "https://grafana.example.com/d/"


def read_block(language: str) -> str:
    [block] = re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
    return str(block)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after all steps."""
    place = tmp_path_factory.mktemp("prometheus")
    shutil.copytree(ROOT / "grafana", place / "grafana")
    command = ["sh", "-ec", read_block("sh")]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (place / "prometheus.yml").write_text(read_block("yaml"))
    return place


def test_prometheus_accepts_the_configuration_and_finds_the_rules(folder: Path) -> None:
    promtool = find_program("promtool", package="prometheus")

    checked = subprocess.run(
        [promtool, "check", "config", folder / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    assert "2 rule files found" in checked.stdout


def test_links_of_every_alert_lead_somewhere(folder: Path) -> None:
    groups = yaml.safe_load((folder / "rules" / "alerts.yaml").read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"]]

    assert alerts
    for alert in alerts:
        anchor = alert["alert"].lower()
        assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}#{anchor}"
        assert alert["annotations"]["dashboard_url"].startswith(GRAFANA)


def test_links_of_the_dashboards_to_the_runbooks_lead_somewhere(folder: Path) -> None:
    files = sorted((folder / "dashboards").glob("*.json"))

    assert len(files) == 2
    for file in files:
        text = file.read_text(encoding="utf-8")
        json.loads(text)
        urls = re.findall(r'"url": "([^"]*runbooks[^"]*)"', text)
        assert len(urls) == 2
        assert all(url.startswith(RUNBOOKS) for url in urls)
