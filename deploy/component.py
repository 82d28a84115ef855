"""Generator of deploy/kustomize, a Component that adds the sidecar without Helm.

Run by `make generated`.
"""

from pathlib import Path
from typing import Any, Final

from deploy.generated_yaml import render_comment, render_yaml
from deploy.replacements import APP, PATH, SOURCE, build_replacements
from deploy.sidecar import Part, Sidecar, render_manifest, render_sidecar

FOLDER: Final = Path(__file__).parent / "kustomize"
SETTINGS: Final = "pool-exporter"
LABEL: Final = "sqlalchemy-pool-metrics"

# Deployments usually are the application; the other kinds usually are databases and node agents.
_DEPLOYMENT: Final = {"kind": "Deployment", "labelSelector": f"{LABEL}!=false"}
_OTHER_KINDS: Final = ("StatefulSet", "DaemonSet", "Job")
_IF_TRUE: Final = f"{LABEL}=true"
_SELECTS: Final = (
    _DEPLOYMENT,
    *({"kind": kind, "labelSelector": _IF_TRUE} for kind in _OTHER_KINDS),
)

_GENERATED: Final = "Written by deploy/component.py from the chart's templates: do not edit."
_COMMENTS: Final = {
    "kustomization.yaml": f"""
Adds the exporter to every Deployment of the kustomization that lists this folder in its
`components`, except to those labelled `{LABEL}: "false"`. StatefulSets, DaemonSets
and Jobs get it if they are labelled "true". The labels must be in the resources themselves, because
the kustomization's own patches are applied later.
""",
    "application.yaml": """
The additions to the application's container, from which replacements.yaml copies.
""",
    "removal.yaml": """
Removes application.yaml at the very end. kustomize would also remove resources marked as local, but
too late for two kustomizations of one namespace that are built together.
""",
    "pod.yaml": f"""
The additions to the pod. Each key of the Secret {SETTINGS} is a setting of the exporter, named
like its environment variable. The label is for the PodMonitor.
""",
    "replacements.yaml": """
Copies from application.yaml into the first container; deploy/replacements.py explains how.
""",
    "podmonitor/kustomization.yaml": """
For the Prometheus operator: scrapes every pod of the namespace that has the exporter.
""",
    "podmonitor/podmonitor.yaml": "",
}


def render_files() -> dict[str, str]:
    """Return the text of each file, by its path in the folder."""
    return {
        name: render_comment(f"{_GENERATED}\n{_COMMENTS[name]}") + render_yaml(content)
        for name, content in _build_files().items()
    }


def _build_files() -> dict[str, Any]:
    sidecar = render_sidecar({"existingSecrets": [{"name": SETTINGS}]})
    (folder,) = [each["value"] for each in sidecar.env if each["name"] == PATH]
    mounts = [each["mountPath"] for each in sidecar.volume_mounts]
    return {
        "kustomization.yaml": _build_component(),
        "application.yaml": _build_application(sidecar),
        "removal.yaml": _build_removal(),
        "pod.yaml": _build_pod(sidecar),
        "replacements.yaml": build_replacements(_SELECTS, folder, mounts),
        "podmonitor/kustomization.yaml": _describe(resources=["podmonitor.yaml"]),
        "podmonitor/podmonitor.yaml": _build_pod_monitor(),
    }


def _build_component() -> Part:
    others = {"kind": "|".join(_OTHER_KINDS), "labelSelector": _IF_TRUE}
    return _describe(
        resources=["application.yaml"],
        patches=[{"path": "pod.yaml", "target": target} for target in (_DEPLOYMENT, others)],
        replacements=[{"path": "replacements.yaml"}],
        transformers=["removal.yaml"],
    )


def _build_application(sidecar: Sidecar) -> Part:
    """Build the source of the replacements: a Pod, because a Pod has such lists."""
    container = {
        "name": "any",
        "env": [_name_by_label(each) for each in sidecar.env],
        "volumeMounts": sidecar.volume_mounts,
    }
    return {
        "apiVersion": "v1",
        "kind": SOURCE["kind"],
        "metadata": {"name": SOURCE["name"]},
        "spec": {"containers": [container]},
    }


def _build_removal() -> Part:
    """Build the transformer that removes the source. Transformers run last."""
    name = {"name": SOURCE["name"]}
    patch = {"apiVersion": "v1", "kind": SOURCE["kind"], "metadata": name, "$patch": "delete"}
    return {
        "apiVersion": "builtin",
        "kind": "PatchTransformer",
        "metadata": {"name": "removal"},
        "patch": render_yaml(patch),
    }


def _name_by_label(variable: Part) -> Part:
    """Take the application's name from the pod's label, because one patch serves all pods."""
    if variable["name"] != APP:
        return variable
    label = "metadata.labels['app.kubernetes.io/name']"
    return {"name": APP, "valueFrom": {"fieldRef": {"fieldPath": label}}}


def _build_pod(sidecar: Sidecar) -> Part:
    template = {
        "metadata": {"labels": {LABEL: "true"}},
        "spec": {"initContainers": sidecar.init_containers, "volumes": sidecar.volumes},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "any"},
        "spec": {"template": template},
    }


def _build_pod_monitor() -> Part:
    """Build the chart's PodMonitor, for pods of its own namespace that have our label."""
    values = {"podMonitor": {"enabled": True}, "selector": {LABEL: "true"}}
    manifest = render_manifest("podmonitor.yaml", values)
    del manifest["spec"]["namespaceSelector"]
    return {**manifest, "metadata": {"name": SETTINGS}}


def _describe(**parts: Any) -> Part:
    return {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", **parts}


def write_files() -> None:
    """Write the folder."""
    for name, text in render_files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write_files()
