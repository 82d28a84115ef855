"""The Prometheus operator's own models accept our monitors and rules."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.charts import (
    ROOT,
    SCENARIOS,
    Manifest,
    copy_charts,
    pick,
    read_manifests,
    read_values,
    render,
    render_alone,
)

SCRIPT = Path(__file__).parent / "operator_models" / "validate.mjs"
# Where .ci/run installs what operator_models/package.json names.
MODULES = ROOT / "build" / "node"
RULES = """
groups:
  - name: pools
    rules:
      - alert: PoolExhausted
        expr: sqlalchemy_pool_waiters > 0
        for: 5m
        labels:
          severity: page
        annotations:
          summary: 'Pool {{ $labels.pool }} of {{ $labels.pod }} is full'
"""


@pytest.fixture(scope="module")
def node() -> str:
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    if not (MODULES / "node_modules" / "@kubernetes-models").is_dir():
        pytest.skip(f"the operator's models are not in {MODULES.relative_to(ROOT)}: see .ci/run")
    return program


def find_faults(node: str, manifests: Sequence[Manifest]) -> list[list[str]]:
    """Return the faults of each manifest."""
    done = subprocess.run(
        [node, str(SCRIPT), str(MODULES)],
        input=json.dumps(manifests),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    faults: list[list[str]] = json.loads(done.stdout)
    return faults


def render_monitors() -> list[Manifest]:
    return [
        manifest
        for scenario in SCENARIOS
        for manifest in read_manifests(render_alone(read_values(scenario)))
        if manifest["apiVersion"].startswith("monitoring.coreos.com/")
    ]


def test_the_operator_accepts_every_monitor(node: str) -> None:
    manifests = render_monitors()
    assert {each["kind"] for each in manifests} >= {"PodMonitor", "ServiceMonitor"}
    assert find_faults(node, manifests) == [[] for _ in manifests]


def test_the_operator_accepts_the_rules(node: str, tmp_path: Path) -> None:
    chart, _ = copy_charts(tmp_path)
    (chart / "files" / "alerts").mkdir(parents=True, exist_ok=True)
    (chart / "files" / "alerts" / "own.yaml").write_text(RULES)
    rules = pick(render(chart, {"prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert find_faults(node, [rules]) == [[]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"intervall": "30s"}, "/spec/podMetricsEndpoints/0/intervall: does not exist"),
        ({"interval": "half a minute"}, "/spec/podMetricsEndpoints/0/interval: pattern"),
        ({"port": 9723}, "/spec/podMetricsEndpoints/0/port: type"),
        (
            {"tlsConfig": {"ca": {"configmap": {}}}},
            "/spec/podMetricsEndpoints/0/tlsConfig/ca/configmap: does not exist",
        ),
    ],
)
def test_the_check_finds_a_fault(node: str, change: dict[str, Any], fault: str) -> None:
    monitor = pick(render_alone({"podMonitor": {"enabled": True}}), "PodMonitor")
    monitor["spec"]["podMetricsEndpoints"][0].update(change)
    ((found,),) = find_faults(node, [monitor])
    assert found.startswith(fault)
