"""A release for rules and dashboards alone has no part of an exporter; others have all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.charts import Rendered, read_manifests, read_values, render_alone, render_shop
from tests.deploy.deployments import find_volume, get_pod

RULES = read_values("rules-and-dashboards")


def find_configs(rendered: Rendered) -> list[str]:
    """Return the names of the exporters' ConfigMaps."""
    manifests = read_manifests(rendered)
    return [
        each["metadata"]["name"] for each in manifests if "exporter.yaml" in each.get("data", {})
    ]


@pytest.mark.parametrize(
    ("key", "kind"), [("prometheusRule", "PrometheusRule"), ("dashboards", "ConfigMap")]
)
def test_a_release_of_rules_has_no_configuration_of_an_exporter(key: str, kind: str) -> None:
    rendered = render_alone({key: RULES[key]})
    assert {each["kind"] for each in read_manifests(rendered)} == {kind}
    assert find_configs(rendered) == []


@pytest.mark.parametrize(
    "values",
    [
        {"standalone": {"enabled": True}},
        {"config": {"probe": {"interval": "30s"}}},
        {"existingSecrets": [{"name": "shop"}]},
        {"secrets": {"POOL_EXPORTER_LOG__LEVEL": "debug"}},
        {"podMonitor": {"enabled": True}},
        {"serviceMonitor": {"enabled": True}, "selector": {"app": "shop"}},
        {"extraManifests": ['{{ include "poolexporter.volumes" . }}']},
        {"prometheusRule": {"enabled": False}, "dashboards": {"enabled": False}},
    ],
)
def test_any_value_for_an_exporter_adds_its_configuration(values: dict[str, Any]) -> None:
    rendered = render_alone({**RULES, **values})
    assert find_configs({path: text for path, text in rendered.items() if "extra" not in path}) == [
        "shop-poolexporter"
    ]


def test_rules_in_a_dependency_keep_the_configuration_of_the_sidecar() -> None:
    rendered = render_shop(RULES)
    volume = find_volume(get_pod(rendered), "pool-exporter-config")
    assert find_configs(rendered) == [volume["configMap"]["name"]]
