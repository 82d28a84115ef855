"""The kustomize examples do what docs/kubernetes.md says."""

from __future__ import annotations

import base64
from typing import Any, Final

import pytest

from tests.deploy import deployments
from tests.deploy.charts import render_shop
from tests.deploy.kubernetes_schemas import VERSIONS, find_faults
from tests.deploy.kustomizations import EXAMPLES, Manifest, build, get_pod

URL: Final = "POOL_EXPORTER_DATABASES__PRIMARY__URL"
OVERLAYS: Final = ("overlay", "existing-secret")


def find(manifests: list[Manifest], kind: str) -> Manifest:
    (manifest,) = [each for each in manifests if each["kind"] == kind]
    return manifest


def get_sources(pod: dict[str, Any]) -> list[Any]:
    (volume,) = [each for each in pod["volumes"] if each["name"] == "pool-exporter-secrets"]
    sources: list[Any] = volume["projected"]["sources"]
    return sources


def test_the_base_has_nothing_of_the_exporter() -> None:
    assert "pool" not in str(build(EXAMPLES / "base"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_kubernetes_accepts_every_manifest(name: str, version: str) -> None:
    built = [each for each in build(EXAMPLES / name) if each["kind"] != "PodMonitor"]
    assert [fault for each in built for fault in find_faults(each, version)] == []


def test_the_generated_secret_has_the_setting() -> None:
    built = build(EXAMPLES / "overlay")
    secret = find(built, "Secret")
    assert base64.b64decode(secret["data"][URL]).startswith(b"postgresql://")
    (source,) = get_sources(get_pod(built, "shop"))
    assert source["secret"]["name"] == secret["metadata"]["name"]


def test_an_existing_secret_replaces_ours() -> None:
    built = build(EXAMPLES / "existing-secret")
    (source,) = get_sources(get_pod(built, "shop"))
    (item,) = source["secret"]["items"]
    assert source["secret"] | {"items": []} == {
        "name": "shop-database",
        "optional": True,
        "items": [],
    }
    assert item == {"key": "DATABASE_URL", "path": URL}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_image_comes_from_the_configured_registry(name: str) -> None:
    values = {"image": {"registry": "registry.example.com"}, "sidecar": {"native": "true"}}
    charts = deployments.get_pod(render_shop(values))["initContainers"]
    pod = get_pod(build(EXAMPLES / name), "shop")
    images = [each["image"] for each in pod["initContainers"]]
    assert images == [each["image"] for each in charts]


def test_the_pod_monitor_finds_the_pods_and_their_port() -> None:
    built = build(EXAMPLES / "existing-secret")
    monitor, deployment = find(built, "PodMonitor"), find(built, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (port,) = get_pod(built, "shop")["initContainers"][1]["ports"]
    assert endpoint["port"] == port["name"]
    assert "namespaceSelector" not in monitor["spec"]
    assert monitor["metadata"]["labels"] == {"release": "kube-prometheus-stack"}
