"""The exporter is a native sidecar where the cluster supports it, else a plain container."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import copy_shop, helm


def render_for(shop: Path, version: str, values: dict[str, Any]) -> dict[str, list[Any]]:
    """Return what the templates render below initContainers and containers, by version.

    Only Helm's linter accepts the version of a cluster, and it returns only errors.
    """
    found = {}
    for key in ("initContainers", "containers"):
        (shop / "templates" / "rendered.yaml").write_text(
            f'{{{{ include (include "poolexporter.{key}" .Subcharts.poolexporter | b64enc'
            ' | printf "rendered:%s:") . }}'
        )
        report = helm.lint(shop, {"poolexporter": values}, kube_version=version)
        (encoded,) = re.findall(r"rendered:([A-Za-z0-9+/=]*):", report["errors"][0])
        found[key] = yaml.safe_load(base64.b64decode(encoded)) or []
    return found


@pytest.mark.parametrize(
    ("version", "native", "is_native"),
    [
        ("v1.28.15", "auto", False),
        ("v1.29.0", "auto", True),
        ("v1.29.0-alpha.1", "auto", True),
        ("v1.35.1-gke.100", "auto", True),
        ("v1.28.15", None, False),
        ("v1.29.0", None, True),
        ("v1.28.15", True, True),
        ("v1.28.15", "true", True),
        ("v1.35.0", False, False),
        ("v1.35.0", "false", False),
    ],
)
def test_the_sidecar_is_native_where_the_cluster_supports_it(
    tmp_path: Path, version: str, native: str | bool | None, is_native: bool
) -> None:
    found = render_for(
        copy_shop(tmp_path), version, {} if native is None else {"sidecar": {"native": native}}
    )
    init = [each["name"] for each in found["initContainers"]]
    beside = [each["name"] for each in found["containers"]]
    if is_native:
        assert (init, beside) == (["pool-metrics-agent", "pool-exporter"], [])
    else:
        assert (init, beside) == (["pool-metrics-agent"], ["pool-exporter"])
        assert "restartPolicy" not in found["containers"][0]
