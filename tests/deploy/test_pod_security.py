"""Our containers satisfy the restricted Pod Security standard; the pod is unchanged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.charts import SCENARIOS, Manifest, read_manifests, read_values, render_shop
from tests.deploy.pod_security import (
    find_container_faults,
    find_pod_faults,
    find_resource_faults,
)

Container = dict[str, Any]
OURS = ("pool-exporter", "pool-metrics-agent")
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
# What our lines are put below; nothing else is in the pod that the example's chart has not set.
KEYS_OF_THE_POD = {"containers", "initContainers", "volumes"}


def render_deployments(scenario: str) -> Iterator[Manifest]:
    for manifest in read_manifests(render_shop(read_values(scenario))):
        if manifest["kind"] == "Deployment":
            yield manifest


def get_pod(deployment: Manifest) -> dict[str, Any]:
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def find_containers(scenario: str) -> list[Container]:
    """Return our containers in all pods."""
    return [
        container
        for deployment in render_deployments(scenario)
        for key in ("initContainers", "containers")
        for container in get_pod(deployment).get(key) or []
        if container["name"] in OURS
    ]


def find_sidecars(scenario: str) -> list[Container]:
    """Return the exporters that run beside an application."""
    return [
        container
        for deployment in render_deployments(scenario)
        if deployment["metadata"]["name"] == "shop"
        for container in [
            *(get_pod(deployment)["initContainers"] or []),
            *get_pod(deployment)["containers"],
        ]
        if container["name"] == "pool-exporter"
    ]


def test_on_openshift_only_the_user_is_left_to_the_cluster() -> None:
    containers = find_containers("openshift")
    assert containers
    for container in containers:
        assert {"runAsUser", "runAsGroup"} & set(container["securityContext"]) == set()
        container["securityContext"] |= {"runAsUser": 1000660000, "runAsGroup": 1000660000}
        assert list(find_container_faults(container)) == []


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"disabled", "openshift"}))
def test_our_containers_are_restricted(scenario: str) -> None:
    containers = find_containers(scenario)
    assert containers
    assert [fault for each in containers for fault in find_container_faults(each)] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pods_are_restricted(scenario: str) -> None:
    pods = map(get_pod, render_deployments(scenario))
    assert [fault for pod in pods for fault in find_pod_faults(pod)] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_our_containers_have_a_memory_limit_and_no_cpu_limit(scenario: str) -> None:
    containers = find_containers(scenario)
    assert [fault for each in containers for fault in find_resource_faults(each)] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_set_on_the_pod_of_the_application(scenario: str) -> None:
    (deployment,) = [
        each for each in render_deployments(scenario) if each["metadata"]["name"] == "shop"
    ]
    assert set(get_pod(deployment)) == KEYS_OF_THE_POD
    assert set(deployment["spec"]["template"]["metadata"]) == {"labels"}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_application_gets_variables_and_two_volumes_alone(scenario: str) -> None:
    (deployment,) = [
        each for each in render_deployments(scenario) if each["metadata"]["name"] == "shop"
    ]
    (application,) = [each for each in get_pod(deployment)["containers"] if each["name"] == "shop"]
    own = {"name", "image", "command", "ports"}
    assert set(application) == own | {"env", "volumeMounts"}
    mounted = {each["name"] for each in application["volumeMounts"] or []}
    assert mounted <= {"pool-metrics", "pool-metrics-agent"}


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"disabled", "not-injected"}))
def test_only_the_init_container_can_write_what_python_imports(scenario: str) -> None:
    (deployment,) = [
        each for each in render_deployments(scenario) if each["metadata"]["name"] == "shop"
    ]
    pod = get_pod(deployment)
    containers = {each["name"]: each for each in [*pod["initContainers"], *pod["containers"]]}
    variables = {each["name"]: each.get("value") for each in containers["shop"]["env"]}
    folder = variables["PYTHONPATH"].partition(":")[0]
    mounts = {
        name: mount
        for name, container in containers.items()
        for mount in container["volumeMounts"]
        if Path(folder).is_relative_to(mount["mountPath"])
    }
    assert mounts["shop"].items() >= {"mountPath": folder, "readOnly": True}.items()
    assert "readOnly" not in mounts["pool-metrics-agent"]
    assert set(mounts) == {"shop", "pool-metrics-agent"}
    shared = {
        mount["name"]
        for container in containers.values()
        for mount in container["volumeMounts"]
        if mount["mountPath"] == variables["SQLALCHEMY_POOL_METRICS_DIR"]
    }
    assert mounts["shop"]["name"] == mounts["pool-metrics-agent"]["name"]
    assert mounts["shop"]["name"] not in shared


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"disabled"}))
def test_our_containers_get_no_token_and_the_application_keeps_its_own(scenario: str) -> None:
    for deployment in render_deployments(scenario):
        pod = get_pod(deployment)
        empty = {each["name"] for each in pod["volumes"] if "emptyDir" in each}
        for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
            # Kubernetes mounts no token into a container with a mount of its own at this path.
            mounts = [mount for mount in container["volumeMounts"] if mount["mountPath"] == TOKEN]
            if container["name"] == "shop" or "automountServiceAccountToken" in pod:
                assert mounts == []
                continue
            (mount,) = mounts
            assert mount["readOnly"]
            assert mount["name"] in empty


def find_handlers(probe: dict[str, Any]) -> dict[str, Any]:
    """Return the handlers of a probe; Kubernetes requires exactly one, unlike its schemas."""
    return {key: value for key, value in probe.items() if isinstance(value, dict)}


def test_another_handler_replaces_the_default_one() -> None:
    handler = {"tcpSocket": {"port": "pool-metrics"}}
    values = {"livenessProbe": handler, "standalone": {"enabled": True, "readinessProbe": handler}}
    (exporter,) = [
        container
        for manifest in read_manifests(render_shop(values))
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] != "shop"
        for container in get_pod(manifest)["containers"]
    ]
    assert find_handlers(exporter["livenessProbe"]) == handler
    assert find_handlers(exporter["readinessProbe"]) == handler


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"disabled"}))
def test_a_failing_sidecar_keeps_the_pod_ready(scenario: str) -> None:
    (sidecar,) = find_sidecars(scenario)
    assert {"readinessProbe", "startupProbe", "lifecycle"} & set(sidecar) == set()
    assert find_handlers(sidecar["livenessProbe"]) in (
        {"httpGet": {"path": "/-/healthy", "port": "pool-metrics"}},
        {"tcpSocket": {"port": "pool-metrics"}},
    )
    assert (
        sidecar["livenessProbe"]["failureThreshold"] * sidecar["livenessProbe"]["periodSeconds"]
        >= 120
    )
    assert "--wait-for-config" in sidecar["args"]


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"disabled"}))
def test_the_exporter_has_no_writable_mount(scenario: str) -> None:
    (sidecar,) = find_sidecars(scenario)
    assert all(mount["readOnly"] for mount in sidecar["volumeMounts"])


def build_restricted_container() -> Container:
    """Return a container without faults."""
    (container,) = find_sidecars("default")
    container = copy.deepcopy(container)
    assert list(find_container_faults(container)) == []
    return container


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("allowPrivilegeEscalation", True, "allowPrivilegeEscalation is not false"),
        ("allowPrivilegeEscalation", None, "allowPrivilegeEscalation is not false"),
        ("runAsNonRoot", None, "runAsNonRoot is not true"),
        ("runAsUser", 0, "runAsUser is not the number of somebody but root"),
        ("runAsUser", None, "runAsUser is not the number of somebody but root"),
        ("runAsUser", "exporter", "runAsUser is not the number of somebody but root"),
        ("runAsGroup", 0, "runAsGroup is not the number of somebody but root"),
        ("readOnlyRootFilesystem", None, "readOnlyRootFilesystem is not true"),
        ("seccompProfile", None, "seccompProfile is neither RuntimeDefault nor Localhost"),
        (
            "seccompProfile",
            {"type": "Unconfined"},
            "seccompProfile is neither RuntimeDefault nor Localhost",
        ),
        ("capabilities", {"drop": ["NET_RAW"]}, "not all capabilities are dropped"),
        ("capabilities", {"drop": ["ALL"], "add": ["SYS_PTRACE"]}, "capabilities are added"),
        ("privileged", True, "privileged is set"),
        ("procMount", "Unmasked", "procMount is set"),
        ("seLinuxOptions", {"user": "system_u"}, "seLinuxOptions is set"),
    ],
)
def test_the_check_finds_a_context_that_allows_more(key: str, value: object, fault: str) -> None:
    container = build_restricted_container()
    container["securityContext"][key] = value
    assert list(find_container_faults(container)) == [fault]


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("ports", [{"containerPort": 9723, "hostPort": 9723}], "hostPort is set"),
        ("livenessProbe", {"httpGet": {"host": "db"}}, "livenessProbe asks another host"),
    ],
)
def test_the_check_finds_a_container_with_host_access(key: str, value: object, fault: str) -> None:
    container = build_restricted_container() | {key: value}
    assert list(find_container_faults(container)) == [fault]


def test_the_check_finds_a_container_without_a_context() -> None:
    container = build_restricted_container()
    del container["securityContext"]
    assert len(list(find_container_faults(container))) == 7


@pytest.mark.parametrize(
    ("pod", "fault"),
    [
        ({"hostNetwork": True}, "hostNetwork is set"),
        ({"hostPID": True}, "hostPID is set"),
        ({"hostIPC": True}, "hostIPC is set"),
        ({"volumes": [{"name": "x", "hostPath": {}}]}, "volume x is of kind hostPath"),
        ({"volumes": [{"name": "x"}]}, "volume x is of kind none"),
    ],
)
def test_the_check_finds_a_pod_with_host_access(pod: dict[str, Any], fault: str) -> None:
    assert list(find_pod_faults(pod)) == [fault]


@pytest.mark.parametrize(
    ("resources", "faults"),
    [
        (None, ["it has no memory limit", "it requests no cpu", "it requests no memory"]),
        (
            {"limits": {"cpu": 1, "memory": 1}, "requests": {"cpu": 1, "memory": 1}},
            ["it has a CPU limit"],
        ),
    ],
)
def test_the_check_finds_unfit_resources(resources: object, faults: list[str]) -> None:
    assert list(find_resource_faults({"resources": resources})) == faults
