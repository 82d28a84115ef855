"""What docs/kubernetes.md shows is what the examples have, and what PostgreSQL takes."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
import yaml

from exporter.demo.postgres import EmbeddedPostgres
from tests.deploy.charts import copy_shop, render
from tests.deploy.deployments import get_pod
from tests.exporter.commands import RunningExporter, configure, run_exporter
from tests.servers.accounts import DATABASE
from tests.servers.conditions import wait_until
from tests.servers.postgresql import execute

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


DEPENDENCIES, BEFORE, AFTER, VALUES, CREATED, OVERLAY = read_blocks("yaml")
(GRANTS,) = read_blocks("sql")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_deployment_after_is_the_example() -> None:
    template = (HELM / "templates" / "deployment.yaml").read_text()
    assert AFTER in dedent(template[template.index("    spec:\n      initContainers") :])


def test_the_deployment_before_lacks_our_lines_and_the_keys_that_only_they_need() -> None:
    theirs = [line for line in AFTER.splitlines() if OURS not in line]
    added = [line.strip() for line in theirs if line not in BEFORE.splitlines()]
    assert added == ["initContainers:", "volumeMounts:", "volumes:"]
    assert [line for line in theirs if line.strip() not in added] == BEFORE.splitlines()


@pytest.mark.parametrize("values", [{}, {"volumes": [VOLUME], "volumeMounts": [MOUNT]}])
def test_the_lines_in_a_chart_made_by_helm_create_keep_its_own_volumes(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    shop = copy_shop(tmp_path)
    template = shop / "templates" / "deployment.yaml"
    text = template.read_text()
    end = text[text.index("          volumeMounts:") :]
    template.write_text(text.replace(end, indent(CREATED, " " * 6)))
    pod = get_pod(render(shop, values))
    with_ours = {"pool-metrics", "pool-exporter-config", "pool-exporter-secrets"}
    own = {each["name"] for each in values.get("volumes", [])}
    assert {each["name"] for each in pod["volumes"]} == with_ours | own
    (application,) = pod["containers"]
    assert {each["name"] for each in application["volumeMounts"]} == {"pool-metrics"} | own


def test_the_lines_that_are_added_are_all_explained() -> None:
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


@pytest.mark.parametrize("left_out", [None, "GRANT pg_read_all_stats"])
def test_with_the_grants_all_is_seen_and_without_the_last_all_but_other_sessions(
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
    """The names of what is known of the database, once it is up."""
    with exporter.open_client() as client:

        def read() -> str:
            return client.get("/metrics").text

        wait_until(lambda: 'database_up{database="shop"} 1.0' in read(), "it to be up", PATIENCE)
        return set(re.findall(r"^sqlalchemy_database_(\w+)\{", read(), re.MULTILINE))
