"""Generator of deploy/snippets: lists for the values of a third-party chart.

Run by `make generated`.
"""

from pathlib import Path
from typing import Any, Final

from deploy.generated_yaml import render_comment, render_yaml
from deploy.sidecar import render_sidecar

SNIPPET: Final = Path(__file__).parent / "snippets" / "third-party-chart.yaml"
# There is no ConfigMap or Secret of ours: the exporter gets its settings from the environment.
_URL: Final = {
    "name": "POOL_EXPORTER_DATABASES__PRIMARY__URL",
    "valueFrom": {"secretKeyRef": {"name": "my-database", "key": "url", "optional": True}},
}
_VALUES: Final = {
    "app": {"name": "my-application"},
    "extraEnv": [_URL],
    "image": {"registry": "registry.example.com"},
}
_HEAD: Final = """
Written by deploy/snippet.py from the chart's templates: do not edit, but copy.

The exporter for a third-party chart: put each list below the chart's key for it, after existing
entries. Change the image's registry, the Secret my-database and its key, and the name
my-application.
"""
_COMMENTS: Final = {
    "initContainers": """
extraInitContainers, initContainers: a container that copies the agent, and the exporter as a native
sidecar. Before Kubernetes 1.29, put the exporter below extraContainers or sidecars, without its
restartPolicy.
""",
    "volumes": "extraVolumes, volumes.",
    "volumeMounts": "extraVolumeMounts, volumeMounts of the application's container.",
    "env": """
extraEnv, extraEnvVars, env of the application's container. PYTHONPATH replaces the image's: if the
image sets one, add it here after a colon. If the chart expects a mapping, write NAME: value.
""",
}


def render_snippet() -> str:
    """Return the text of the file."""
    lists = _build_lists()
    parts = [f"{render_comment(_COMMENTS[key])}{render_yaml({key: lists[key]})}" for key in lists]
    return "\n".join([render_comment(_HEAD), *parts])


def _build_lists() -> dict[str, Any]:
    sidecar = render_sidecar(_VALUES)
    return {
        "initContainers": sidecar.init_containers,
        "volumes": sidecar.volumes,
        "volumeMounts": sidecar.volume_mounts,
        "env": sidecar.env,
    }


if __name__ == "__main__":
    SNIPPET.write_text(render_snippet())
