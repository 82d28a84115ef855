"""The snippet for third-party charts is what our chart renders, and works without it."""

from __future__ import annotations

from typing import Any, Final

import pytest
import yaml

from tests.deploy import deployments
from tests.deploy.charts import render_shop
from tests.deploy.kubernetes_schemas import VERSIONS, find_faults
from tests.deploy.kustomizations import build_workload
from tests.deploy.pod_security import (
    find_container_faults,
    find_pod_faults,
    find_resource_faults,
)

pytest.importorskip("helm_python", reason="there is no Helm for this platform")

from deploy.snippet import SNIPPET, render_snippet

LISTS: Final[dict[str, Any]] = yaml.safe_load(SNIPPET.read_text())


def build_pod() -> dict[str, Any]:
    """Return a pod with the snippet's lists in their places."""
    container = {"name": "web", "image": "web:1"}
    return {
        "initContainers": LISTS["initContainers"],
        "containers": [{**container, "env": LISTS["env"], "volumeMounts": LISTS["volumeMounts"]}],
        "volumes": LISTS["volumes"],
    }


def test_the_snippet_is_up_to_date() -> None:
    assert SNIPPET.read_text().splitlines() == render_snippet().splitlines()


def test_the_snippet_has_the_containers_and_volumes_of_the_chart() -> None:
    values = {
        "app": {"name": "my-application"},
        "image": {"registry": "registry.example.com"},
        "sidecar": {"native": "true"},
    }
    pod = deployments.get_pod(render_shop(values))
    agent, exporter = pod["initContainers"]
    ours_agent, ours_exporter = LISTS["initContainers"]
    assert ours_agent == agent
    changed = {"args", "env", "volumeMounts"}
    assert {key for key in exporter if exporter[key] != ours_exporter.get(key)} == changed
    assert set(ours_exporter) == set(exporter)
    own = pod["containers"][0]
    assert LISTS["volumeMounts"] == own["volumeMounts"]
    assert LISTS["env"] == [each for each in own["env"] if each["name"] != "DATABASE_URL"]


def test_the_snippet_needs_no_other_manifest() -> None:
    mounted = {mount["name"] for each in LISTS["initContainers"] for mount in each["volumeMounts"]}
    assert mounted == {volume["name"] for volume in LISTS["volumes"]}
    assert all(set(volume) == {"name", "emptyDir"} for volume in LISTS["volumes"])
    assert not [each for each in LISTS["initContainers"][1]["args"] if "config=" in each]


def test_the_database_comes_from_an_optional_secret() -> None:
    (url,) = [each for each in LISTS["initContainers"][1]["env"] if "valueFrom" in each]
    assert url["name"] == "POOL_EXPORTER_DATABASES__PRIMARY__URL"
    assert url["valueFrom"]["secretKeyRef"]["optional"] is True


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_a_pod_with_the_snippet(version: str) -> None:
    assert list(find_faults(build_workload("web", build_pod()), version)) == []


def test_the_containers_satisfy_the_restricted_standard() -> None:
    assert list(find_pod_faults(build_pod())) == []
    for container in LISTS["initContainers"]:
        assert [*find_container_faults(container), *find_resource_faults(container)] == []
