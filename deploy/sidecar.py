"""What the chart's named templates render, for those who write no templates.

It knows the chart and Helm, not who uses the lists: deploy/component.py and deploy/snippet.py.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import helm_python
import yaml

CHART: Final = Path(__file__).parent / "helm"
# A file that is not there is one that cannot be used, and here nobody brings it.
_CONFIG_VOLUME: Final = "pool-exporter-config"
_CONFIG_OPTION: Final = "--config="
_LISTS: Final = ("initContainers", "volumes", "appEnv", "appVolumeMounts")

Part: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The lists, as they stand in a pod and in the application's container."""

    init_containers: list[Part]
    volumes: list[Part]
    env: list[Part]
    volume_mounts: list[Part]


def render_sidecar(values: Mapping[str, Any]) -> Sidecar:
    """Returns the lists for these values, with a native sidecar that needs no ConfigMap."""
    lists = _render_lists({**values, "sidecar": {"native": True}})
    return Sidecar(
        init_containers=[_without_config(each) for each in lists["initContainers"]],
        volumes=[each for each in lists["volumes"] if each["name"] != _CONFIG_VOLUME],
        env=lists["appEnv"],
        volume_mounts=lists["appVolumeMounts"],
    )


def render_manifest(template: str, values: Mapping[str, Any]) -> Part:
    """Returns what one of the chart's own templates renders."""
    manifest: Part = yaml.safe_load(_render(CHART, template, values))
    return manifest


def _render_lists(values: Mapping[str, Any]) -> dict[str, list[Part]]:
    """What the templates give to a chart with ours in it."""
    with TemporaryDirectory() as folder:
        _write_wrapper(Path(folder))
        text = _render(Path(folder), "lists.yaml", {"poolexporter": values})
    lists: dict[str, list[Part]] = yaml.safe_load(text)
    return lists


def _render(chart: Path, template: str, values: Mapping[str, Any]) -> str:
    rendered = helm_python.Chart.load(chart).render(dict(values))
    (text,) = [text for path, text in rendered.items() if path.endswith(f"/{template}")]
    return text


def _write_wrapper(folder: Path) -> None:
    shutil.copytree(CHART, folder / "charts" / "poolexporter")
    description = {"apiVersion": "v2", "name": "wrapper", "version": "0.0.0"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(description))
    (folder / "templates").mkdir()
    (folder / "templates" / "lists.yaml").write_text("".join(map(_include, _LISTS)))


def _include(name: str) -> str:
    template = f'include "poolexporter.{name}" .Subcharts.poolexporter'
    return f"{name}: {{{{- {template} | nindent 2 }}}}\n"


def _without_config(container: Part) -> Part:
    container = {"name": container["name"], **container}
    if "args" in container:
        container["args"] = [
            each for each in container["args"] if not each.startswith(_CONFIG_OPTION)
        ]
    container["volumeMounts"] = [
        each for each in container["volumeMounts"] if each["name"] != _CONFIG_VOLUME
    ]
    return container
