"""The output of the chart's named templates, for use without Helm."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import helm_python
import yaml

CHART: Final = Path(__file__).parent / "helm"
# Without Helm there is no ConfigMap, and a missing configuration file would be an error.
_CONFIG_VOLUME: Final = "pool-exporter-config"
_CONFIG_OPTION: Final = "--config="
_LISTS: Final = ("initContainers", "volumes", "appEnv", "appVolumeMounts")

Part: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The lists for a pod and for the application's container."""

    init_containers: list[Part]
    volumes: list[Part]
    env: list[Part]
    volume_mounts: list[Part]


def render_sidecar(values: Mapping[str, Any]) -> Sidecar:
    """Return the lists for these values, with a native sidecar that needs no ConfigMap."""
    lists = _render_lists({**values, "sidecar": {"native": True}})
    return Sidecar(
        init_containers=[_without_config(each) for each in lists["initContainers"]],
        volumes=[each for each in lists["volumes"] if each["name"] != _CONFIG_VOLUME],
        env=lists["appEnv"],
        volume_mounts=lists["appVolumeMounts"],
    )


def render_manifest(template: str, values: Mapping[str, Any]) -> Part:
    """Return what one of the chart's own templates renders."""
    manifest: Part = yaml.safe_load(_render(CHART, template, values))
    return manifest


def _render_lists(values: Mapping[str, Any]) -> dict[str, list[Part]]:
    """Render the templates in a parent chart that depends on ours."""
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
