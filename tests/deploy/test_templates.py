"""The templates for an application's own chart do what values.yaml says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import (
    SCENARIOS,
    SHOP,
    copy_shop,
    pick,
    read_manifests,
    read_values,
    render,
    render_alone,
    render_shop,
)
from tests.deploy.deployments import find_volume, get_deployment, get_env, get_pod

LINE = re.compile(
    r'\{\{- include "(poolexporter\.\w+)" \.Subcharts\.poolexporter \| nindent \d+ \}\}'
)
DEPLOYMENT = Path("templates/deployment.yaml")


def drop_empty(value: Any) -> Any:
    """Return the value without empty keys."""
    if isinstance(value, list):
        return [drop_empty(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: drop_empty(each) for key, each in value.items() if each not in (None, [], {})}


def test_the_example_includes_each_template_once() -> None:
    assert sorted(LINE.findall((SHOP / DEPLOYMENT).read_text())) == [
        "poolexporter.appEnv",
        "poolexporter.appVolumeMounts",
        "poolexporter.containers",
        "poolexporter.initContainers",
        "poolexporter.volumes",
    ]


def test_the_disabled_chart_leaves_the_deployment_unchanged(tmp_path: Path) -> None:
    shop = copy_shop(tmp_path)
    disabled = get_deployment(render(shop, {"poolexporter": {"enabled": False}}))
    file = shop / DEPLOYMENT
    file.write_text(LINE.sub("", file.read_text()))
    without = get_deployment(render(shop))
    assert drop_empty(disabled) == drop_empty(without)
    assert "pool" not in yaml.safe_dump(disabled)


def test_the_disabled_chart_renders_nothing() -> None:
    manifests = read_manifests(render_shop(read_values("disabled")))
    assert [each["kind"] for each in manifests] == ["Deployment"]
    assert read_manifests(render_alone(read_values("disabled"))) == []


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"disabled"}))
def test_every_mounted_volume_exists(scenario: str) -> None:
    rendered = render_shop(read_values(scenario))
    for manifest in read_manifests(rendered):
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            containers = [*(pod.get("initContainers") or []), *pod["containers"]]
            mounted = {
                mount["name"] for each in containers for mount in each.get("volumeMounts") or []
            }
            assert mounted == {each["name"] for each in pod["volumes"] or []}


def test_the_agent_comes_before_the_exporter_and_the_application() -> None:
    pod = get_pod(render_shop())
    assert [each["name"] for each in pod["initContainers"]] == [
        "pool-metrics-agent",
        "pool-exporter",
    ]
    assert pod["initContainers"][1]["restartPolicy"] == "Always"
    assert "restartPolicy" not in pod["initContainers"][0]


def test_the_agent_is_on_the_python_path() -> None:
    pod = get_pod(render_shop({"volume": {"mountPath": "/pools"}}))
    env = get_env(pod)
    assert pod["initContainers"][0]["command"][-1] == env["PYTHONPATH"] == "/pools-agent"
    assert env["SQLALCHEMY_POOL_METRICS_DIR"] == "/pools"
    assert {"name": "POOL_EXPORTER_APP__DIR", "value": "/pools"} in pod["initContainers"][1]["env"]


def test_a_python_path_of_the_image_comes_after_ours() -> None:
    env = get_env(get_pod(render_shop({"app": {"pythonPath": "/srv:/lib"}})))
    assert env["PYTHONPATH"] == "/run/sqlalchemy-pool-metrics-agent:/srv:/lib"


def test_holders_are_switched_on_by_a_value() -> None:
    switch = "SQLALCHEMY_POOL_METRICS_HOLDERS"
    assert get_env(get_pod(render_shop({"app": {"holders": True}})))[switch] == "1"
    assert switch not in get_env(get_pod(render_shop()))


def test_an_image_with_the_package_gets_neither_agent_nor_python_path() -> None:
    pod = get_pod(render_shop({"app": {"inject": False}}))
    assert [each["name"] for each in pod["initContainers"]] == ["pool-exporter"]
    assert "PYTHONPATH" not in get_env(pod)
    assert "pool-metrics-agent" not in [each["name"] for each in pod["volumes"]]


def test_a_missing_secret_delays_a_pod_only_if_it_is_required() -> None:
    secrets = [{"name": "a"}, {"name": "b", "optional": False}, {"name": "c", "optional": True}]
    pod = get_pod(render_shop({"existingSecrets": secrets}))
    sources = find_volume(pod, "pool-exporter-secrets")["projected"]["sources"]
    assert [each["secret"] for each in sources] == [
        {"name": "a", "optional": True},
        {"name": "b", "optional": False},
        {"name": "c", "optional": True},
    ]


def test_secrets_in_the_values_are_mounted() -> None:
    rendered = render_shop({"secrets": {"POOL_EXPORTER_LOG__LEVEL": "debug"}})
    sources = find_volume(get_pod(rendered), "pool-exporter-secrets")["projected"]["sources"]
    name = pick(rendered, "Secret")["metadata"]["name"]
    assert sources == [{"secret": {"name": name, "optional": True}}]


def test_the_exporter_reads_the_secrets_where_they_are_mounted() -> None:
    for values in (
        {"existingSecrets": [{"name": "a"}]},
        {"secrets": {"POOL_EXPORTER_LISTEN": "b"}},
    ):
        exporter = get_pod(render_shop(values))["initContainers"][1]
        env = {each["name"]: each["value"] for each in exporter["env"]}
        mounts = {each["name"]: each["mountPath"] for each in exporter["volumeMounts"]}
        assert env["POOL_EXPORTER_SECRETS_DIR"] == mounts["pool-exporter-secrets"]
