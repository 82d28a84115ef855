"""What a kubelet does before it starts a pod and podman does not.

podman 4.3 has no projected volumes, makes an emptyDir writable for its first user alone, restarts
init containers unless the pod's containers are never restarted, and needs systemd for probes. On
the host's network ports cannot be named.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]
# Values of Secrets and ConfigMaps by key.
Data = Mapping[str, str]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


def prepare_pod(
    template: Manifest, name: str, folder: Path, objects: Mapping[tuple[str, str], Data]
) -> Manifest:
    """Return the pod of a template on the host's network, with its volumes below `folder`.

    `objects` are the objects in the cluster, by kind and name.
    """
    spec = deepcopy(template["spec"])
    spec |= {"hostNetwork": True, "restartPolicy": "Never"}
    for volume in spec["volumes"]:
        path = folder / volume["name"]
        path.mkdir(mode=0o755)
        fill_volume(path, volume, objects)
        volume.clear()
        volume |= {"name": path.name, "hostPath": {"path": str(path), "type": "Directory"}}
    mount_token(spec, folder)
    for container in [*spec["initContainers"], *spec["containers"]]:
        for key in ("livenessProbe", "ports"):
            container.pop(key, None)
        container["env"] = [resolve(entry, objects) for entry in container.get("env", [])]
    metadata = {"name": name, "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def mount_token(spec: Manifest, folder: Path) -> None:
    """Mount the service account's token as Kubernetes does, where nothing else is mounted."""
    path = folder / "kube-api-access"
    path.mkdir(mode=0o755)
    write_files(path, {"token": "secret"})
    host_path = {"path": str(path), "type": "Directory"}
    spec["volumes"].append({"name": path.name, "hostPath": host_path})
    for container in [*spec["initContainers"], *spec["containers"]]:
        mounts = container.setdefault("volumeMounts", [])
        if TOKEN not in [mount["mountPath"] for mount in mounts]:
            mounts.append({"name": path.name, "mountPath": TOKEN, "readOnly": True})


def fill_volume(path: Path, volume: Manifest, objects: Mapping[tuple[str, str], Data]) -> None:
    """Write the initial content of a volume."""
    if "emptyDir" in volume:
        path.chmod(0o777)
    elif "configMap" in volume:
        write_files(path, objects["ConfigMap", volume["configMap"]["name"]])
    else:
        for source in volume["projected"]["sources"]:
            write_files(path, pick_items(source["secret"], objects))


def pick_items(secret: Manifest, objects: Mapping[tuple[str, str], Data]) -> Data:
    """Return what a projection shows of a Secret: all of it, or the items under their names."""
    data = objects["Secret", secret["name"]]
    items = secret.get("items")
    return data if items is None else {item["path"]: data[item["key"]] for item in items}


def write_files(folder: Path, data: Data) -> None:
    for name, value in data.items():
        (folder / name).write_text(value)


def resolve(entry: Manifest, objects: Mapping[tuple[str, str], Data]) -> Manifest:
    """Return the variable with its value from a Secret."""
    if "valueFrom" not in entry:
        return entry
    reference = entry["valueFrom"]["secretKeyRef"]
    return {"name": entry["name"], "value": objects["Secret", reference["name"]][reference["key"]]}
