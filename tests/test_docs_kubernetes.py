"""docs/kubernetes.md shows what the examples have, and servers and tools accept it."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
import yaml

from tests.deploy.charts import Manifest, copy_shop, helm, pick, render, render_shop
from tests.deploy.deployments import get_pod
from tests.exporter.commands import RunningExporter, configure, run_exporter
from tests.servers.accounts import DATABASE
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.postgresql import execute
from tests.servers.programs import find_program

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
HELM = ROOT / "examples" / "helm"
OURS = "poolexporter."
PATIENCE = 60.0
VOLUME = {"name": "cache", "emptyDir": {}}
MOUNT = {"name": "cache", "mountPath": "/cache"}


def read_blocks(language: str) -> list[str]:
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in blocks]


DEPENDENCIES, BEFORE, AFTER, VALUES, CREATED, RULES, ROUTES, OVERLAY = read_blocks("yaml")
(INSTALL,) = [block for block in read_blocks("sh") if block.startswith("helm install")]
(GRANTS,) = read_blocks("sql")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_deployment_after_is_the_example() -> None:
    template = (HELM / "templates" / "deployment.yaml").read_text()
    assert AFTER in dedent(template[template.index("    spec:\n      initContainers") :])


def test_the_deployment_before_lacks_our_lines_alone() -> None:
    theirs = [line for line in AFTER.splitlines() if OURS not in line]
    added = [line.strip() for line in theirs if line not in BEFORE.splitlines()]
    assert added == ["initContainers:", "volumeMounts:", "volumes:"]
    assert [line for line in theirs if line.strip() not in added] == BEFORE.splitlines()


@pytest.mark.parametrize("values", [{}, {"volumes": [VOLUME], "volumeMounts": [MOUNT]}])
def test_the_lines_in_a_chart_made_by_helm_create_keep_its_own_volumes(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    shop = copy_shop(tmp_path)
    example = get_pod(render(shop))
    template = shop / "templates" / "deployment.yaml"
    text = template.read_text()
    end = text[text.index("          volumeMounts:") :]
    template.write_text(text.replace(end, indent(CREATED, " " * 6)))
    pod = get_pod(render(shop, values))
    own = {each["name"] for each in values.get("volumes", [])}
    assert list_names(pod["volumes"]) == list_names(example["volumes"]) | own
    (ours,), (application,) = example["containers"], pod["containers"]
    mounts = list_names(application["volumeMounts"])
    assert mounts == list_names(ours["volumeMounts"]) | own


def list_names(parts: list[dict[str, Any]]) -> set[str]:
    return {each["name"] for each in parts}


def test_all_added_lines_are_explained() -> None:
    added = set(re.findall(r'include "(poolexporter\.\w+)"', AFTER))
    assert added == set(re.findall(r"^\| `(poolexporter\.\w+)`", PAGE, re.MULTILINE))


def test_the_chart_and_its_values_are_the_example_s() -> None:
    assert yaml.safe_load(DEPENDENCIES)["dependencies"] == load(HELM / "Chart.yaml")["dependencies"]
    key = "poolexporter"
    assert yaml.safe_load(VALUES)[key] == load(HELM / "values.yaml")[key]


def test_the_overlay_is_the_example_s() -> None:
    overlay = load(ROOT / "examples" / "kustomize" / "overlay" / "kustomization.yaml")
    shown = yaml.safe_load(OVERLAY)
    assert shown == {key: overlay[key] for key in shown}


def install_rules() -> tuple[list[Manifest], str]:
    """Return what the command on the page installs, and the notes that it shows."""
    (command,) = INSTALL.splitlines()
    *words, name, chart, _, namespace, _, _ = shlex.split(command)
    assert words == ["helm", "install"]
    with helm.Config(storage_driver="memory", kubeconfig_content="{}") as nowhere:
        release = nowhere.install(
            ROOT / chart, name, yaml.safe_load(RULES), namespace=namespace, dry_run="client"
        )
    return list(yaml.safe_load_all(release["manifest"])), release["notes"]


def pick_rules(manifests: list[Manifest]) -> Manifest:
    (rules,) = [each for each in manifests if each["kind"] == "PrometheusRule"]
    return rules


def test_the_release_of_rules_has_all_rules_and_dashboards_and_nothing_else() -> None:
    manifests, notes = install_rules()
    kinds = sorted(each["kind"] for each in manifests)
    assert kinds == ["ConfigMap", "ConfigMap", "PrometheusRule"]
    assert {each["metadata"]["namespace"] for each in manifests} == {"monitoring"}
    assert [line for line in notes.splitlines() if line.startswith("- ")] == []


def test_the_rules_follow_the_values() -> None:
    values = yaml.safe_load(RULES)["prometheusRule"]
    rules = pick_rules(install_rules()[0])
    assert rules["metadata"]["labels"].items() >= values["labels"].items()
    alerts = {
        rule["alert"]: rule
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert [name for name in values["disabledAlerts"] if name in alerts] == []
    slow = alerts["SQLAlchemyCheckoutsSlow"]
    assert f"> {values['thresholds']['slowCheckoutSeconds']} " in slow["expr"]
    assert slow["annotations"]["runbook_url"].startswith(f"{values['runbookUrl']}/docs/")
    assert slow["annotations"]["dashboard_url"].startswith(f"{values['dashboardUrl']}/d/")


def test_the_dashboards_are_in_the_folder_of_the_values() -> None:
    annotations = yaml.safe_load(RULES)["dashboards"]["annotations"]
    manifests, _ = install_rules()
    dashboards = [each["metadata"] for each in manifests if each["kind"] == "ConfigMap"]
    assert [each["annotations"] for each in dashboards] == [annotations, annotations]
    assert [each["labels"]["grafana_dashboard"] for each in dashboards] == ["1", "1"]


def test_a_dependency_renders_the_same_rules() -> None:
    below = pick(render_shop(yaml.safe_load(RULES)), "PrometheusRule")
    assert below["spec"] == pick_rules(install_rules()[0])["spec"]


def test_every_severity_of_the_rules_has_its_route() -> None:
    (ours,) = yaml.safe_load(ROUTES)["route"]["routes"]
    severities = yaml.safe_load(RULES)["prometheusRule"]["severities"]
    matchers = [matcher for route in ours["routes"] for matcher in route["matchers"]]
    assert matchers == [f'severity="{severity}"' for severity in severities.values()]


def test_a_database_down_for_many_exporters_is_one_group() -> None:
    (ours,) = yaml.safe_load(ROUTES)["route"]["routes"]
    assert ours["group_by"] == ["alertname", "namespace", "job", "database"]
    assert [route for route in ours["routes"] if "group_by" in route] == []


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=SQLAlchemyDatabaseDown severity=page", "pager"),
        ("alertname=SQLAlchemyConnectionLeak severity=ticket", "queue"),
    ],
)
def test_alertmanager_routes_alerts_as_the_page_says(
    tmp_path: Path, labels: str, receiver: str
) -> None:
    amtool = find_program("amtool", package="prometheus-alertmanager")
    file = tmp_path / "alertmanager.yml"
    file.write_text(ROUTES)
    subprocess.run([amtool, "check-config", file], check=True)
    test = [amtool, "config", "routes", "test", f"--config.file={file}", *labels.split()]
    done = subprocess.run(test, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.strip() == receiver


@pytest.mark.parametrize("left_out", [None, "GRANT pg_read_all_stats"])
def test_the_grants_show_all_metrics_and_the_last_one_other_sessions(
    postgres: EmbeddedPostgres, tmp_path: Path, left_out: str | None
) -> None:
    role = f"docs_monitor_{left_out is None}".lower()
    for statement in GRANTS.replace("monitor", role).strip().splitlines():
        if left_out is None or not statement.startswith(left_out):
            execute(postgres, statement)
    settings = configure("shop", URL=postgres.url(DATABASE, role, "change-me"))
    with run_exporter(tmp_path / "log", settings=settings) as exporter:
        names = read_database_metrics(exporter)
    everything = {"up", "writable", "server_max_connections", "server_reserved_connections"}
    assert everything <= names
    assert ("server_connections" in names) is (left_out is None)


def read_database_metrics(exporter: RunningExporter) -> set[str]:
    """Return the names of the database's metrics, once it is up."""
    with exporter.open_client() as client:

        def read() -> str:
            return client.get("/metrics").text

        wait_until(lambda: 'database_up{database="shop"} 1.0' in read(), "it to be up", PATIENCE)
        return set(re.findall(r"^sqlalchemy_database_(\w+)\{", read(), re.MULTILINE))
