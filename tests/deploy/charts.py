"""Our chart and the example's, which depends on ours, rendered by Helm without a cluster."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import yaml

helm = pytest.importorskip("helm_python", reason="there is no Helm for this platform")

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm"
SHOP: Final = ROOT / "examples" / "helm"
SCENARIOS: Final = sorted(
    path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")
)
NAMESPACE: Final = "orders"

Values = Mapping[str, Any]
Manifest = dict[str, Any]
# What the templates rendered, by their paths in the chart.
Rendered = Mapping[str, str]


def read_values(scenario: str) -> Values:
    values: Values = yaml.safe_load((CHART / "ci" / f"{scenario}-values.yaml").read_text())
    return values


def copy_charts(folder: Path) -> tuple[Path, Path]:
    """Copy our chart and the example's, for tests that change them."""
    copies = folder / CHART.relative_to(ROOT), folder / SHOP.relative_to(ROOT)
    for chart, copy in zip((CHART, SHOP), copies, strict=True):
        shutil.copytree(chart, copy, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    return copies


def resolve(shop: Path) -> Path:
    """Put our chart into the example's, as `helm dependency update` does."""
    helm.dependency_update(shop, skip_refresh=True)
    return shop


def copy_shop(folder: Path) -> Path:
    """Return a copy of the example's chart that contains ours."""
    return resolve(copy_charts(folder)[1])


def render(chart: Any, values: Values | None = None, *, name: str = "shop") -> Rendered:
    """Render a chart, loaded or in a folder; raises HelmError."""
    if isinstance(chart, Path):
        chart = helm.Chart.load(chart)
    rendered: Rendered = chart.render(dict(values or {}), name=name, namespace=NAMESPACE)
    return rendered


def render_alone(values: Values | None = None, *, name: str = "shop") -> Rendered:
    """Render our chart alone."""
    return render(_load_chart(), values, name=name)


def render_shop(values: Values | None = None, *, name: str = "shop") -> Rendered:
    """Render the example's chart with only these values below `poolexporter`."""
    return render(_load_bare_shop(), {"poolexporter": dict(values or {})}, name=name)


def read_manifests(rendered: Rendered) -> list[Manifest]:
    """Return all manifests in the order of their paths."""
    return [
        manifest
        for path, text in sorted(rendered.items())
        if not path.endswith("NOTES.txt")
        for manifest in yaml.safe_load_all(text)
        if manifest
    ]


def pick(rendered: Rendered, kind: str) -> Manifest:
    """Return the only manifest of a kind."""
    (manifest,) = [each for each in read_manifests(rendered) if each["kind"] == kind]
    return manifest


def read_notes(rendered: Rendered) -> str:
    (notes,) = [
        text for path, text in rendered.items() if path.endswith("poolexporter/templates/NOTES.txt")
    ]
    return notes


@cache
def _load_chart() -> Any:
    return helm.Chart.load(CHART)


@cache
def _load_bare_shop() -> Any:
    with TemporaryDirectory() as folder:
        _, shop = copy_charts(Path(folder))
        values = yaml.safe_load((shop / "values.yaml").read_text())
        (shop / "values.yaml").write_text(yaml.safe_dump({"image": values["image"]}))
        return helm.Chart.load(resolve(shop))
