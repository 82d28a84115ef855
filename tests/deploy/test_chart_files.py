"""The chart renders rules and dashboards unchanged, and its package has no other files."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.deploy.charts import (
    CHART,
    NAMESPACE,
    Manifest,
    copy_charts,
    helm,
    pick,
    read_manifests,
    render,
)

DASHBOARD = {"title": "Pools", "panels": [{"legendFormat": "{{pod}} {{ pool }}", "unit": "s"}]}
RULES = {
    "groups": [
        {
            "name": "pools",
            "rules": [
                {
                    "alert": "PoolExhausted",
                    "expr": 'sqlalchemy_pool_waiters{pod=~"shop-.*"} > 0',
                    "for": "5m",
                    "annotations": {"summary": "{{ $labels.pod }}: {{ $value | humanize }}"},
                }
            ],
        }
    ]
}
MORE_RULES = {"groups": [{"name": "more", "rules": [{"record": "a:b", "expr": "1"}]}]}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """Our chart without dashboards and rules."""
    copy, _ = copy_charts(tmp_path)
    for folder in ("dashboards", "alerts"):
        (copy / "files" / folder).mkdir(parents=True, exist_ok=True)
        for file in (copy / "files" / folder).iterdir():
            file.unlink()
    return copy


def render_dashboard(chart: Path, **values: object) -> Manifest:
    (chart / "files" / "dashboards" / "pools.json").write_text(json.dumps(DASHBOARD, indent=2))
    manifests = read_manifests(render(chart, {"dashboards": {"enabled": True, **values}}))
    (manifest,) = [each for each in manifests if each["metadata"]["name"].endswith("-pools")]
    return manifest


def test_a_dashboard_comes_out_unchanged(chart: Path) -> None:
    manifest = render_dashboard(chart)
    assert list(manifest["data"]) == ["pools.json"]
    assert json.loads(manifest["data"]["pools.json"]) == DASHBOARD


def test_a_dashboard_is_where_grafana_looks_for_it(chart: Path) -> None:
    metadata = render_dashboard(chart)["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("shop-poolexporter-pools", NAMESPACE)
    assert metadata["labels"]["grafana_dashboard"] == "1"
    assert "annotations" not in metadata
    folder = {"grafana_folder": "Databases"}
    metadata = render_dashboard(chart, namespace="monitoring", annotations=folder)["metadata"]
    assert (metadata["namespace"], metadata["annotations"]) == ("monitoring", folder)


def test_the_rules_of_all_files_come_out_unchanged(chart: Path) -> None:
    (chart / "files" / "alerts" / "a.yaml").write_text(yaml.safe_dump(RULES))
    (chart / "files" / "alerts" / "b.yaml").write_text(yaml.safe_dump(MORE_RULES))
    rule = pick(render(chart, {"prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert rule["spec"]["groups"] == RULES["groups"] + MORE_RULES["groups"]


def test_a_chart_without_files_renders(chart: Path) -> None:
    values = {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}
    assert read_manifests(render(chart, values)) == []


def test_rules_and_dashboards_are_off_by_default(chart: Path) -> None:
    (chart / "files" / "alerts" / "a.yaml").write_text(yaml.safe_dump(RULES))
    (chart / "files" / "dashboards" / "pools.json").write_text(json.dumps(DASHBOARD))
    assert [each["kind"] for each in read_manifests(render(chart))] == ["ConfigMap"]


def test_a_package_contains_only_files_that_are_rendered(tmp_path: Path) -> None:
    with tarfile.open(helm.package(CHART, destination=tmp_path)) as archive:
        packed = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    top = {Path("Chart.yaml"), Path("values.yaml"), Path("values.schema.json")}
    assert packed >= top
    for path in packed - top:
        assert (CHART / path).is_file()
        assert path.parts[0] == "templates" or path.parts[:2] in {
            ("files", "alerts"),
            ("files", "dashboards"),
        }
