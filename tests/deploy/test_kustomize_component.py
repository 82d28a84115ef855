"""The Component adds to every pod what the chart adds, and removes nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.deploy import deployments
from tests.deploy.charts import render_shop
from tests.deploy.kubernetes_schemas import VERSIONS, find_faults
from tests.deploy.kustomizations import Manifest, build, build_workload, get_pod, write
from tests.deploy.pod_security import (
    find_container_faults,
    find_pod_faults,
    find_resource_faults,
)

AGENT: Final = "/run/sqlalchemy-pool-metrics-agent"
LABEL: Final = {"fieldRef": {"fieldPath": "metadata.labels['app.kubernetes.io/name']"}}
APP: Final = "SQLALCHEMY_POOL_METRICS_APP"
OURS: Final = ("SQLALCHEMY_POOL_METRICS_DIR", APP, "PYTHONPATH")
TMP: Final = {"name": "tmp", "emptyDir": {}}

Pod = dict[str, Any]


def build_pod(*, more: Mapping[str, Any] | None = None, **container: Any) -> Pod:
    """Return a pod with an application's container; `more` are further keys."""
    return {
        "containers": [{"name": "web", "image": "shop:1", **container}],
        **(more or {}),
    }


SHAPES: Final = {
    "bare": build_pod(),
    "env": build_pod(env=[{"name": "A", "value": "1"}, {"name": "B", "value": ""}]),
    "env-from": build_pod(envFrom=[{"secretRef": {"name": "all"}}]),
    "value-from": build_pod(
        env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "a"}}}]
    ),
    "empty": build_pod(env=[], volumeMounts=[], more={"initContainers": [], "volumes": []}),
    "mounts": build_pod(
        volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's
        more={"volumes": [TMP]},
    ),
    "containers": build_pod(
        more={"containers": [{"name": name, "image": f"{name}:1"} for name in ("app", "proxy")]}
    ),
    "init": build_pod(
        more={
            "initContainers": [
                {"name": "migrate", "image": "shop:1", "env": [{"name": "A", "value": "1"}]},
                {"name": "wait", "image": "busybox"},
            ]
        }
    ),
    "alike": build_pod(
        env=[
            {"name": "MY_PYTHONPATH", "value": "/mine"},
            {"name": "PYTHONPATH_ALSO", "value": "/mine"},
            {"name": f"{APP}_NAME", "value": "mine"},
            {"name": f"MY_{APP}", "value": "mine"},
            {"name": "SQLALCHEMY_POOL_METRICS_DIRECTORY", "value": "/mine"},
        ],
        volumeMounts=[
            {"name": "tmp", "mountPath": "/run/sqlalchemy-pool-metrics-too"},
            {"name": "tmp", "mountPath": "/run/sqlalchemy-pool-metrics-agents"},
            {"name": "tmp", "mountPath": "/var/run/sqlalchemy-pool-metrics"},
        ],
        more={"volumes": [TMP]},
    ),
    "secured": build_pod(
        more={"securityContext": {"runAsUser": 1000}, "serviceAccountName": "shop"}
    ),
}
PATHS: Final = {
    "one": ("/src", f"{AGENT}:/src"),
    "several": ("/src:lib", f"{AGENT}:/src:lib"),
    "none": ("", AGENT),
}
KINDS: Final = ("StatefulSet", "DaemonSet", "Job")


def build_others() -> list[Manifest]:
    """Return workloads of every kind, with and without the label."""
    pod = {**build_pod(), "restartPolicy": "Always"}
    once = {**pod, "restartPolicy": "Never"}
    return [
        build_workload(
            f"{kind}-{label or 'none'}".lower(), once if kind == "Job" else pod, kind, label
        )
        for kind in ("Deployment", *KINDS)
        for label in ("true", "false", None)
    ]


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """The result for an application in every shape."""
    paths = {
        f"path-{name}": build_pod(env=[{"name": "PYTHONPATH", "value": before}])
        for name, (before, _) in PATHS.items()
    }
    names = {
        "named": build_pod(env=[{"name": APP, "value": "mine"}]),
        "named-from": build_pod(
            env=[{"name": APP, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        ),
    }
    workloads = [build_workload(name, pod) for name, pod in {**SHAPES, **paths, **names}.items()]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"sqlalchemy-pool-metrics": "true"}},
        "spec": {"ports": [{"port": 80}]},
    }
    folder = tmp_path_factory.mktemp("shapes")
    return build(write(folder, [*workloads, *build_others(), service]))


@pytest.fixture(scope="module")
def charts() -> Pod:
    """The pod as the chart renders it, without the ConfigMap, which only a chart brings."""
    values = {"existingSecrets": [{"name": "pool-exporter"}], "sidecar": {"native": "true"}}
    pod = deployments.get_pod(render_shop(values))
    volume, option = "pool-exporter-config", "--config=/etc/sqlalchemy-pool-exporter/exporter.yaml"
    exporter = pod["initContainers"][1]
    exporter["args"].remove(option)
    for mounts, key in ((exporter["volumeMounts"], "name"), (pod["volumes"], "name")):
        (config,) = [each for each in mounts if each[key] == volume]
        mounts.remove(config)
    return pod


def by_name(parts: list[Manifest]) -> dict[str, Manifest]:
    return {each["name"]: each for each in parts}


def get_env(pod: Pod) -> dict[str, Manifest]:
    return by_name(pod["containers"][0]["env"])


@pytest.mark.parametrize("shape", SHAPES)
def test_an_application_gets_the_containers_and_volumes_of_the_chart(
    manifests: list[Manifest], charts: Pod, shape: str
) -> None:
    pod = get_pod(manifests, shape)
    assert pod["initContainers"][:2] == charts["initContainers"]
    volumes = by_name(pod["volumes"])
    assert volumes.items() >= by_name(charts["volumes"]).items()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_container_gets_the_variables_and_the_mounts_of_the_chart(
    manifests: list[Manifest], charts: Pod, shape: str
) -> None:
    env, expected = get_env(get_pod(manifests, shape)), get_env(charts)
    for name in ("SQLALCHEMY_POOL_METRICS_DIR", "PYTHONPATH"):
        assert env[name] == expected[name]
    assert env[APP] == {"name": APP, "valueFrom": LABEL}
    mounts = get_pod(manifests, shape)["containers"][0]["volumeMounts"]
    for mount in charts["containers"][0]["volumeMounts"]:
        assert mount in mounts


@pytest.mark.parametrize("shape", SHAPES)
def test_the_application_keeps_everything_of_its_own(
    manifests: list[Manifest], charts: Pod, shape: str
) -> None:
    pod = copy.deepcopy(get_pod(manifests, shape))
    first = pod["containers"][0]
    first["env"] = [each for each in first["env"] if each["name"] not in OURS]
    take_out(pod, "volumes", charts["volumes"])
    take_out(pod, "initContainers", charts["initContainers"])
    take_out(first, "volumeMounts", charts["containers"][0]["volumeMounts"])
    assert without_empty(pod) == without_empty(SHAPES[shape])


def take_out(parent: Manifest, key: str, ours: list[Manifest]) -> None:
    parent[key] = [each for each in parent[key] if each not in ours]


def without_empty(pod: Pod) -> Pod:
    containers = [
        {key: value for key, value in each.items() if value != []} for each in pod["containers"]
    ]
    return {key: value for key, value in {**pod, "containers": containers}.items() if value != []}


@pytest.mark.parametrize("name", PATHS)
def test_the_python_path_of_the_application_comes_after_ours(
    manifests: list[Manifest], name: str
) -> None:
    _, after = PATHS[name]
    variables = get_pod(manifests, f"path-{name}")["containers"][0]["env"]
    assert [each for each in variables if "PYTHON" in each["name"]] == [
        {"name": "PYTHONPATH", "value": after}
    ]


def test_a_name_that_the_application_sets_itself_stays(manifests: list[Manifest]) -> None:
    assert get_env(get_pod(manifests, "named"))[APP] == {"name": APP, "value": "mine"}
    field = {"fieldRef": {"fieldPath": "metadata.name"}}
    assert get_env(get_pod(manifests, "named-from"))[APP] == {"name": APP, "valueFrom": field}


@pytest.mark.parametrize("kind", ["Deployment", *KINDS])
@pytest.mark.parametrize("label", ["true", "false", None])
def test_deployments_are_included_and_other_kinds_by_their_label(
    manifests: list[Manifest], kind: str, label: str | None
) -> None:
    name = f"{kind}-{label or 'none'}".lower()
    (before,) = [each for each in build_others() if each["metadata"]["name"] == name]
    (after,) = [each for each in manifests if each["metadata"]["name"] == name]
    if label == "true" or (kind == "Deployment" and label is None):
        bare, pod = get_pod(manifests, "bare"), get_pod([after], name)
        assert pod == {**bare, "restartPolicy": pod["restartPolicy"]}
    else:
        assert after == before


def test_pods_with_the_exporter_are_labelled_for_prometheus(manifests: list[Manifest]) -> None:
    for each in manifests:
        if each["kind"] != "Service":
            labels = each["spec"]["template"]["metadata"]["labels"]
            has_exporter = "initContainers" in each["spec"]["template"]["spec"]
            assert labels.get("sqlalchemy-pool-metrics") == ("true" if has_exporter else None)
            assert labels["app"] == each["metadata"]["name"]


def test_nothing_else_is_added_or_changed(manifests: list[Manifest]) -> None:
    kinds = {each["kind"] for each in manifests}
    assert kinds == {"Deployment", "Service", *KINDS}
    (service,) = [each for each in manifests if each["kind"] == "Service"]
    assert service["spec"] == {"ports": [{"port": 80}]}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_every_manifest(manifests: list[Manifest], version: str) -> None:
    assert {fault for each in manifests for fault in find_faults(each, version)} == set()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_containers_satisfy_the_restricted_standard(
    manifests: list[Manifest], shape: str
) -> None:
    pod = get_pod(manifests, shape)
    assert list(find_pod_faults(pod)) == []
    for container in pod["initContainers"][:2]:
        assert [*find_container_faults(container), *find_resource_faults(container)] == []


def test_a_generated_secret_is_found_by_the_name_that_it_gets(tmp_path: Path) -> None:
    literals = ["POOL_EXPORTER_DATABASES__PRIMARY__URL=postgresql://db/shop"]
    generator = {"name": "pool-exporter", "literals": literals}
    folder = write(
        tmp_path,
        [build_workload("shop", build_pod())],
        namePrefix="test-",
        secretGenerator=[generator],
    )
    built = build(folder)
    (secret,) = [each for each in built if each["kind"] == "Secret"]
    name = secret["metadata"]["name"]
    assert name.startswith("test-pool-exporter-")
    volumes = by_name(get_pod(built, "test-shop")["volumes"])
    assert volumes["pool-exporter-secrets"]["projected"]["sources"] == [
        {"secret": {"name": name, "optional": True}}
    ]


def test_two_applications_with_it_can_be_built_together(tmp_path: Path) -> None:
    for name in ("shop", "billing"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [build_workload(name, build_pod())], namespace="orders")
    top = tmp_path / "top"
    top.mkdir()
    (top / "kustomization.yaml").write_text("resources: [../shop/overlay, ../billing/overlay]\n")
    built = build(top)
    assert get_pod(built, "shop") == get_pod(built, "billing")
    assert len(built) == 2
