"""Services, monitors and policies select their pods and no others."""

from __future__ import annotations

import pytest

from tests.deploy.charts import (
    Rendered,
    Values,
    helm,
    pick,
    read_manifests,
    render_alone,
    render_shop,
)
from tests.deploy.deployments import get_deployment

Labels = dict[str, str]


OURS = {"app.kubernetes.io/name": "shop"}


def get_labels(rendered: Rendered, name: str) -> Labels:
    labels: Labels = get_deployment(rendered, name)["spec"]["template"]["metadata"]["labels"]
    return labels


def test_the_pod_monitor_selects_pods_of_the_release_by_the_port() -> None:
    values = {"podMonitor": {"enabled": True}}
    selector = pick(render_alone(values), "PodMonitor")["spec"]["selector"]["matchLabels"]
    standalone = render_alone({**values, "standalone": {"enabled": True}})
    assert selector.items() <= get_labels(render_shop(), "shop").items()
    assert selector.items() <= get_labels(standalone, "shop-poolexporter").items()
    assert pick(standalone, "PodMonitor")["spec"]["selector"]["matchLabels"] == selector


def test_the_service_of_a_standalone_exporter_selects_its_pods_alone() -> None:
    rendered = render_alone({"standalone": {"enabled": True}})
    selector = pick(rendered, "Service")["spec"]["selector"]
    assert selector.items() <= get_labels(rendered, "shop-poolexporter").items()
    assert not selector.items() <= get_labels(render_shop(), "shop").items()


def test_a_service_monitor_selects_the_service_and_the_service_the_pods() -> None:
    monitor = {"enabled": True, "jobLabel": "helm.sh/chart"}
    rendered = render_alone({"serviceMonitor": monitor, "selector": OURS})
    service = pick(rendered, "Service")
    spec = pick(rendered, "ServiceMonitor")["spec"]
    assert service["spec"]["selector"] == OURS
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert spec["jobLabel"] in service["metadata"]["labels"]


@pytest.mark.parametrize(
    "values",
    [
        {"serviceMonitor": {"enabled": True}},
        {"networkPolicy": {"enabled": True, "appPods": True}},
    ],
)
def test_a_service_or_policy_for_an_application_needs_a_selector(values: Values) -> None:
    key = next(iter(values))
    with pytest.raises(helm.HelmRenderError, match=f"{key}.* needs selector"):
        render_alone(values)
    render_alone({**values, "selector": OURS})


def test_a_selector_without_an_application_is_refused() -> None:
    values = {"standalone": {"enabled": True}, "selector": OURS, "podMonitor": {"enabled": True}}
    with pytest.raises(helm.HelmRenderError, match="remove one of them"):
        render_alone(values)


def test_two_monitors_at_once_are_refused() -> None:
    both = {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    with pytest.raises(helm.HelmRenderError, match="would scrape every pod twice: choose one"):
        render_alone({**both, "selector": OURS})


def test_a_policy_leaves_the_pods_of_the_application_alone_unless_asked() -> None:
    pod = get_labels(render_shop(), "shop")
    policy = {"enabled": True}
    alone = render_alone({"networkPolicy": policy})
    assert [each["kind"] for each in read_manifests(alone)] == ["ConfigMap"]
    standalone = render_alone({"networkPolicy": policy, "standalone": {"enabled": True}})
    asked = render_alone({"networkPolicy": {**policy, "appPods": True}, "selector": OURS})
    chosen = pick(standalone, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert not chosen.items() <= pod.items()
    assert pick(asked, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
