"""Parts of a Deployment."""

from __future__ import annotations

from typing import Any

from tests.deploy.charts import Manifest, Rendered, read_manifests


def get_deployment(rendered: Rendered, name: str = "shop") -> Manifest:
    """Return the Deployment of this name."""
    (deployment,) = [
        each
        for each in read_manifests(rendered)
        if each["kind"] == "Deployment" and each["metadata"]["name"] == name
    ]
    return deployment


def get_pod(rendered: Rendered, name: str = "shop") -> dict[str, Any]:
    """Return the pod spec of the Deployment of this name."""
    pod: dict[str, Any] = get_deployment(rendered, name)["spec"]["template"]["spec"]
    return pod


def get_env(pod: dict[str, Any]) -> dict[str, str]:
    """Return the application's variables that have their value in the manifest."""
    return {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}


def find_volume(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the source of the volume of this name."""
    (volume,) = [each for each in pod["volumes"] if each["name"] == name]
    return {key: value for key, value in volume.items() if key != "name"}
