"""Kustomizations as kubectl builds them, without a cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
COMPONENT: Final = ROOT / "deploy" / "kustomize"
EXAMPLES: Final = ROOT / "examples" / "kustomize"

Manifest = dict[str, Any]


def build(folder: Path) -> list[Manifest]:
    """Return what `kubectl apply --kustomize` would apply."""
    command = [find_kubectl(), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def write(folder: Path, manifests: Sequence[Manifest] = (), **kustomization: Any) -> Path:
    """Write a kustomization of these manifests that includes the Component."""
    copy_component(folder)
    folder = folder / "overlay"
    folder.mkdir()
    (folder / "manifests.yaml").write_text(yaml.safe_dump_all(manifests))
    content = {"resources": ["manifests.yaml"], "components": ["../component"], **kustomization}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


def copy_component(folder: Path) -> None:
    """Copy the Component to where a kustomization in the folder can name it by a relative path."""
    shutil.copytree(COMPONENT, folder / "component")


def build_workload(
    name: str, pod: Mapping[str, Any], kind: str = "Deployment", label: str | None = None
) -> Manifest:
    """Return a workload with this pod and the label that turns the exporter on or off."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec: Manifest = {"template": template}
    if kind != "Job":
        spec["selector"] = {"matchLabels": labels}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            **({"labels": {"sqlalchemy-pool-metrics": label}} if label else {}),
        },
        "spec": spec,
    }


def get_pod(manifests: Sequence[Manifest], name: str) -> dict[str, Any]:
    """Return the pod spec of the workload of this name."""
    (pod,) = [
        each["spec"]["template"]["spec"]
        for each in manifests
        if each["metadata"]["name"] == name and "template" in each.get("spec", {})
    ]
    found: dict[str, Any] = pod
    return found


@cache
def find_kubectl() -> str:
    """Return the kubectl on the PATH; skips the test if it does not support the Component."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is missing")
    command = [kubectl, "version", "--client", "--output=json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    version = json.loads(done.stdout).get("kustomizeVersion", "none")
    if int(version.removeprefix("v").partition(".")[0].replace("none", "0")) < 5:
        pytest.skip(f"kubectl is older than 1.27: its kustomize is {version}")
    return kubectl
