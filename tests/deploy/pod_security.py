"""The restricted Pod Security standard, and our further rules for our containers.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, but everything has
to be set on the container itself: the pod is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Part = Mapping[str, Any]

VOLUME_KINDS: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
CONTEXT_KEYS: Final = {
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
}


def find_container_faults(container: Part) -> Iterator[str]:
    """Return violations of the standard by the container itself."""
    yield from _find_context_faults(container.get("securityContext") or {})
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield "hostPort is set"
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        for action in (container.get(name) or {}).values():
            if isinstance(action, Mapping) and action.get("host"):
                yield f"{name} asks another host"


def find_resource_faults(container: Part) -> Iterator[str]:
    """Return missing memory limits and existing CPU limits."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    if "cpu" in limits:
        yield "it has a CPU limit"
    if "memory" not in limits:
        yield "it has no memory limit"
    for name in ("cpu", "memory"):
        if name not in requests:
            yield f"it requests no {name}"


def find_pod_faults(pod: Part) -> Iterator[str]:
    """Return violations of the standard by a pod: namespaces of the host, types of volumes."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"{name} is set"
    for volume in pod.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds or not kinds <= VOLUME_KINDS:
            yield f"volume {volume['name']} is of kind {', '.join(sorted(kinds)) or 'none'}"


def _find_context_faults(context: Part) -> Iterator[str]:
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    for name in ("runAsUser", "runAsGroup"):
        if type(context.get(name)) is not int or context[name] < 1:
            yield f"{name} is not the number of somebody but root"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    if (context.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile is neither RuntimeDefault nor Localhost"
    capabilities = context.get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"]:
        yield "not all capabilities are dropped"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    for name in sorted(set(context) - CONTEXT_KEYS):
        yield f"{name} is set"
