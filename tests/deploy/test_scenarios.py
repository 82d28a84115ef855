"""What the smaller scenarios of deploy/helm/ci change; golden/ has the larger ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.deploy.charts import pick, read_manifests, read_values, render_shop
from tests.deploy.test_golden import join

IMAGE = "sqlalchemy-pool-exporter:0.1.0"
DIGEST = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
PINNED = f"registry.example:5000/platform/sqlalchemy-pool-exporter@{DIGEST}"
SELECTOR = {
    "app.kubernetes.io/name": "poolexporter",
    "app.kubernetes.io/instance": "shop",
    "app.kubernetes.io/component": "standalone",
}
PORT = {"port": 9723, "protocol": "TCP"}


def count_lines(scenario: str) -> Counter[str]:
    text = join(render_shop(read_values(scenario)))
    return Counter(line.strip() for line in text.splitlines())


# Each of them is in both containers, or in those and the volume.
@pytest.mark.parametrize(
    ("scenario", "removed", "added"),
    [
        ("openshift", {"runAsUser: 10001": 2, "runAsGroup: 10001": 2}, {}),
        (
            "private-registry",
            {f"image: {IMAGE}": 2, "imagePullPolicy: IfNotPresent": 2},
            {f"image: {PINNED}": 2, "imagePullPolicy: Always": 2},
        ),
        (
            "python-path",
            {
                "- /run/sqlalchemy-pool-metrics-agent": 1,
                "- mountPath: /run/sqlalchemy-pool-metrics": 1,
                "- mountPath: /run/sqlalchemy-pool-metrics-agent": 1,
                "mountPath: /run/sqlalchemy-pool-metrics": 1,
                "mountPath: /run/sqlalchemy-pool-metrics-agent": 1,
                "value: /run/sqlalchemy-pool-metrics": 1,
                'value: "/run/sqlalchemy-pool-metrics"': 1,
                'value: "/run/sqlalchemy-pool-metrics-agent"': 1,
                "value: :9723": 1,
                "- containerPort: 9723": 1,
                'sizeLimit: "64Mi"': 1,
            },
            {
                "- /run/pools-agent": 1,
                "- mountPath: /run/pools": 1,
                "- mountPath: /run/pools-agent": 1,
                "mountPath: /run/pools": 1,
                "mountPath: /run/pools-agent": 1,
                "value: /run/pools": 1,
                'value: "/run/pools"': 1,
                'value: "/run/pools-agent:/srv/shop:/srv/lib"': 1,
                "value: :9800": 1,
                "- containerPort: 9800": 1,
                'sizeLimit: "128Mi"': 1,
            },
        ),
        # Only the order of the containers is another.
        ("old-cluster", {"restartPolicy: Always": 1}, {"containers:": 0}),
    ],
)
def test_the_scenario_changes_these_lines_of_the_default(
    scenario: str, removed: dict[str, int], added: dict[str, int]
) -> None:
    default, changed = count_lines("default"), count_lines(scenario)
    assert default - changed == Counter(removed)
    assert changed - default == +Counter(added)


def list_names(containers: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in containers]


def test_the_sidecar_of_an_old_cluster_is_a_container_after_the_application() -> None:
    pod = pick(render_shop(read_values("old-cluster")), "Deployment")["spec"]["template"]["spec"]
    assert list_names(pod["initContainers"]) == ["pool-metrics-agent"]
    assert list_names(pod["containers"]) == ["shop", "pool-exporter"]


def test_an_application_with_the_package_gets_the_exporter_and_its_name() -> None:
    pod = pick(render_shop(read_values("not-injected")), "Deployment")["spec"]["template"]["spec"]
    assert list_names(pod["initContainers"]) == ["pool-exporter"]
    [shop] = pod["containers"]
    variables = {each["name"]: each.get("value") for each in shop["env"]}
    assert variables["SQLALCHEMY_POOL_METRICS_APP"] == "shop-web"
    assert "PYTHONPATH" not in variables


def test_secrets_in_the_values_become_a_secret_that_the_exporter_mounts() -> None:
    rendered = render_shop(read_values("inline-secrets"))
    assert pick(rendered, "Secret")["stringData"] == {
        "POOL_EXPORTER_DATABASES__PRIMARY__URL": "postgresql://monitor:secret@db.example:5432/shop"
    }
    pod = pick(rendered, "Deployment")["spec"]["template"]["spec"]
    [volume] = [each for each in pod["volumes"] if each["name"] == "pool-exporter-secrets"]
    assert volume["projected"]["sources"] == [
        {"secret": {"name": "shop-poolexporter", "optional": True}}
    ]


def test_a_policy_for_the_application_lets_everything_reach_the_port() -> None:
    assert pick(render_shop(read_values("networkpolicy-app-pods")), "NetworkPolicy")["spec"] == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "shop"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [PORT]}],
    }


def test_a_policy_for_a_standalone_exporter_lets_prometheus_reach_the_port() -> None:
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    prometheus = {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}
    source = {"namespaceSelector": namespace, "podSelector": prometheus}
    assert pick(render_shop(read_values("networkpolicy-standalone")), "NetworkPolicy")["spec"] == {
        "podSelector": {"matchLabels": SELECTOR},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [PORT], "from": [source]}],
    }


def test_a_pod_monitor_has_the_settings_of_its_values() -> None:
    monitor = pick(render_shop(read_values("podmonitor")), "PodMonitor")
    assert monitor["metadata"]["namespace"] == "monitoring"
    assert monitor["metadata"]["labels"].items() >= {
        ("release", "kube-prometheus-stack"),
        ("team", "checkout"),
    }
    assert monitor["spec"] == {
        "jobLabel": "app.kubernetes.io/name",
        "namespaceSelector": {"matchNames": ["orders"]},
        "selector": {"matchLabels": {"app": "shop"}},
        "podMetricsEndpoints": [
            {
                "port": "pool-metrics",
                "path": "/metrics",
                "honorLabels": False,
                "interval": "15s",
                "scrapeTimeout": "5s",
                "relabelings": [
                    {
                        "sourceLabels": ["__meta_kubernetes_pod_node_name"],
                        "targetLabel": "node",
                    }
                ],
                "metricRelabelings": [
                    {"sourceLabels": ["__name__"], "regex": "python_.*", "action": "drop"}
                ],
            }
        ],
    }


def test_extra_manifests_are_rendered_as_yaml_or_as_templates() -> None:
    manifests = read_manifests(render_shop(read_values("extra-manifests")))
    [company] = [each for each in manifests if each["metadata"]["name"] == "company-ca"]
    assert company["data"] == {"ca.crt": "{{ this is no template }}"}
    [budget] = [each for each in manifests if each["kind"] == "PodDisruptionBudget"]
    assert budget["metadata"]["name"] == "shop-poolexporter"
    assert budget["spec"]["selector"] == {"matchLabels": SELECTOR}
