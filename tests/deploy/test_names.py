"""Names of manifests, of the image and of the application follow the values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import (
    CHART,
    copy_charts,
    copy_shop,
    helm,
    pick,
    read_manifests,
    render,
    render_alone,
    render_shop,
    resolve,
)
from tests.deploy.deployments import find_volume, get_env, get_pod
from tests.deploy.kubernetes_schemas import find_faults

DEPLOYMENT = Path("templates/deployment.yaml")


@pytest.mark.parametrize(
    ("name", "override"),
    [("s", ""), ("x" * 53, ""), ("x" * 53, "abcdefgh-x"), ("x" * 40, "y" * 70)],
)
def test_names_are_no_longer_than_kubernetes_allows(name: str, override: str) -> None:
    values = {"nameOverride": override, "standalone": {"enabled": True}}
    for manifest in read_manifests(render_alone(values, name=name)):
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", manifest["metadata"]["name"])


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "shop-poolexporter"),
        ({"nameOverride": "databases"}, "shop-databases"),
        ({"fullnameOverride": "probes"}, "probes"),
    ],
)
def test_the_name_follows_the_values(values: dict[str, Any], name: str) -> None:
    rendered = render_shop(values)
    assert pick(rendered, "ConfigMap")["metadata"]["name"] == name
    volume = find_volume(get_pod(rendered), "pool-exporter-config")
    assert volume["configMap"] == {"name": name, "optional": True}


def test_a_digest_wins_over_the_tag() -> None:
    digest = "sha256:" + 64 * "0"
    image = {"registry": "r.example:5000", "repository": "a/b", "tag": "1"}
    for values, expected in (
        ({"image": image}, "r.example:5000/a/b:1"),
        ({"image": {**image, "digest": digest}}, f"r.example:5000/a/b@{digest}"),
    ):
        containers = get_pod(render_shop(values))["initContainers"]
        assert [each["image"] for each in containers] == [expected, expected]


def test_the_application_is_named_after_the_release_unless_it_has_a_name() -> None:
    assert get_env(get_pod(render_shop()))["SQLALCHEMY_POOL_METRICS_APP"] == "shop"
    env = get_env(get_pod(render_shop({"app": {"name": "web"}})))
    assert env["SQLALCHEMY_POOL_METRICS_APP"] == "web"


def test_two_deployments_of_a_chart_get_the_sidecar_under_their_own_names(tmp_path: Path) -> None:
    shop = copy_shop(tmp_path)
    web = (shop / DEPLOYMENT).read_text()
    worker = web.replace(
        "name: {{ .Release.Name }}", "name: {{ .Release.Name }}-worker", 1
    ).replace(
        'appEnv" .Subcharts.poolexporter',
        'appEnv" (merge (dict "application" "shop-worker") .Subcharts.poolexporter)',
    )
    (shop / "templates" / "a-worker.yaml").write_text(worker)
    (shop / "templates" / "worker.yaml").write_text(worker.replace("-worker", "-late"))
    rendered = render(shop)
    names = {
        name: get_env(get_pod(rendered, name))["SQLALCHEMY_POOL_METRICS_APP"]
        for name in ("shop", "shop-worker", "shop-late")
    }
    assert names == {"shop": "shop", "shop-worker": "shop-worker", "shop-late": "shop-late"}
    assert get_pod(rendered)["volumes"] == get_pod(rendered, "shop-worker")["volumes"]


def test_the_dependency_may_have_another_name(tmp_path: Path) -> None:
    _, shop = copy_charts(tmp_path)
    chart = yaml.safe_load((shop / "Chart.yaml").read_text())
    chart["dependencies"][0]["alias"] = "poolmetrics"
    (shop / "Chart.yaml").write_text(yaml.safe_dump(chart))
    for file in (shop / "values.yaml", *(shop / "templates").iterdir()):
        text = file.read_text().replace(".Subcharts.poolexporter", ".Subcharts.poolmetrics")
        file.write_text(text.replace("poolexporter:", "poolmetrics:"))
    ours = render(copy_shop(tmp_path / "unchanged"))
    expected = {path: text.replace("poolexporter", "poolmetrics") for path, text in ours.items()}
    assert read_manifests(render(resolve(shop))) == read_manifests(expected)


@pytest.mark.parametrize(
    "context", [".", ".Subcharts.pool", ".Values.poolexporter", ".Subcharts.poolexporter.Values"]
)
def test_a_wrong_template_context_is_an_error(tmp_path: Path, context: str) -> None:
    shop = copy_shop(tmp_path)
    file = shop / "templates" / "deployment.yaml"
    file.write_text(file.read_text().replace(".Subcharts.poolexporter", context))
    with pytest.raises(helm.HelmRenderError, match=r"take \.Subcharts\.poolexporter"):
        render(shop)


@pytest.mark.parametrize("name", ["12345", "1e3"])
def test_names_that_look_like_numbers_stay_text(name: str) -> None:
    values = {
        "nameOverride": name,
        "fullnameOverride": name,
        "standalone": {"enabled": True, "serviceAccountName": name},
        "networkPolicy": {"enabled": True},
        "podMonitor": {"enabled": True, "namespace": name, "jobLabel": "true"},
    }
    with helm.Chart.load(CHART) as chart:
        rendered = chart.render(values, name=f"r{name}", namespace=name)
    manifests = read_manifests(rendered)
    assert {each["metadata"]["name"] for each in manifests} == {name}
    assert {each["metadata"]["namespace"] for each in manifests} == {name}
    known = [each for each in manifests if each["kind"] != "PodMonitor"]
    assert [fault for each in known for fault in find_faults(each, "1.33")] == []
    (monitor,) = [each["spec"] for each in manifests if each["kind"] == "PodMonitor"]
    assert (monitor["namespaceSelector"]["matchNames"], monitor["jobLabel"]) == ([name], "true")
