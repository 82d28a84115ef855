"""Services, monitors and policies select the pods that they are for, and no others."""

from __future__ import annotations

import pytest

from tests.deploy.charts import helm, pick, read_manifests, render_alone, render_shop
from tests.deploy.deployments import get_deployment


def test_the_service_and_monitors_find_the_pods_by_their_labels() -> None:
    pod = get_deployment(render_shop())["spec"]["template"]["metadata"]["labels"]
    standalone = {"standalone": {"enabled": True}, "podMonitor": {"enabled": True}}
    rendered = render_alone(standalone)
    ours = get_deployment(rendered, "shop-poolexporter")["spec"]["template"]["metadata"]["labels"]
    selectors = (
        pick(rendered, "PodMonitor")["spec"]["selector"]["matchLabels"],
        pick(rendered, "Service")["spec"]["selector"],
    )
    for selector in selectors:
        assert selector.items() <= pod.items()
        assert selector.items() <= ours.items()


def test_the_service_monitor_finds_the_service() -> None:
    rendered = render_alone({"serviceMonitor": {"enabled": True, "jobLabel": "helm.sh/chart"}})
    labels = pick(rendered, "Service")["metadata"]["labels"]
    monitor = pick(rendered, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["jobLabel"] in labels


def test_two_monitors_at_once_are_refused() -> None:
    values = {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    with pytest.raises(helm.HelmRenderError, match="every pod would be scraped twice: choose one"):
        render_alone(values)


def test_a_policy_leaves_the_pods_of_the_application_alone_unless_asked() -> None:
    pod = get_deployment(render_shop())["spec"]["template"]["metadata"]["labels"]
    policy = {"enabled": True}
    assert [each["kind"] for each in read_manifests(render_alone({"networkPolicy": policy}))] == [
        "ConfigMap"
    ]
    standalone = pick(
        render_alone({"networkPolicy": policy, "standalone": {"enabled": True}}), "NetworkPolicy"
    )
    asked = pick(render_alone({"networkPolicy": {**policy, "appPods": True}}), "NetworkPolicy")
    assert not standalone["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
    assert asked["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
