"""Kubernetes accepts every manifest, since the first version with native sidecars."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.deploy.charts import (
    CHART,
    SCENARIOS,
    Manifest,
    read_manifests,
    read_values,
    render_alone,
    render_shop,
)
from tests.deploy.kubernetes_schemas import VERSIONS, find_faults

OF_THE_OPERATOR = "monitoring.coreos.com/"


def render_all() -> list[Manifest]:
    """Return the manifests of all scenarios, each once."""
    manifests: list[Manifest] = []
    for scenario in SCENARIOS:
        for manifest in read_manifests(render_shop(read_values(scenario))):
            if manifest not in manifests and OF_THE_OPERATOR not in manifest["apiVersion"]:
                manifests.append(manifest)
    return manifests


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_every_manifest(version: str) -> None:
    faults = {
        f"{manifest['kind']} {manifest['metadata']['name']}: {fault}"
        for manifest in render_all()
        for fault in find_faults(manifest, version)
    }
    assert faults == set()


def get_container(manifest: Manifest) -> dict[str, Any]:
    container: dict[str, Any] = manifest["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("key", "value"), [("imagePullPolicies", "Always"), ("image", 1), ("ports", [{"port": 9723}])]
)
def test_the_check_finds_a_fault(version: str, key: str, value: object) -> None:
    (manifest,) = [
        each
        for each in read_manifests(render_alone({"standalone": {"enabled": True}}))
        if each["kind"] == "Deployment"
    ]
    assert list(find_faults(manifest, version)) == []
    faulty = copy.deepcopy(manifest)
    get_container(faulty)[key] = value
    assert list(find_faults(faulty, version)) != []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_two_manifests_have_the_same_name(scenario: str) -> None:
    manifests = read_manifests(render_shop(read_values(scenario)))
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_our_manifests_have_the_labels_of_helm(scenario: str) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    values = {**read_values(scenario), "extraManifests": []}
    for manifest in read_manifests(render_alone(values)):
        assert manifest["metadata"]["labels"].items() >= {
            ("helm.sh/chart", f"poolexporter-{version}"),
            ("app.kubernetes.io/instance", "shop"),
            ("app.kubernetes.io/managed-by", "Helm"),
        }
