"""NOTES.txt reminds of missing settings, each only where it matters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.charts import (
    CHART,
    NAMESPACE,
    Values,
    helm,
    read_notes,
    render_alone,
    render_shop,
)

SECRET = {"POOL_EXPORTER_DATABASES__PRIMARY__URL": "sqlite://"}
LINES = "Your Deployment needs the lines"
LABELS = "Your pods need the labels"
PYTHONPATH = "PYTHONPATH is set"
IMAGE = "must be available to your nodes"
NO_DATABASE = "No database is configured"
IN_THE_CLEAR = "Passwords in `secrets`"
EVERY_KEY = "may read every key of Secret"
NO_SCRAPE = "Nothing tells Prometheus to scrape"
LABEL = "{}.labels is empty"
LINKS = "Links of alerts are relative"
RULES = {
    "enabled": True,
    "labels": {"release": "prometheus"},
    "runbookUrl": "https://git.example.com",
    "dashboardUrl": "https://grafana.example.com",
}
EVERYTHING = (
    LINES,
    LABELS,
    PYTHONPATH,
    IMAGE,
    NO_DATABASE,
    EVERY_KEY,
    IN_THE_CLEAR,
    NO_SCRAPE,
    *map(LABEL.format, ("podMonitor", "serviceMonitor", "prometheusRule")),
    LINKS,
)


def find_reminders(values: Values) -> list[str]:
    notes = read_notes(render_alone(values))
    return [reminder for reminder in EVERYTHING if reminder in notes]


@pytest.mark.parametrize(
    ("values", "reminders"),
    [
        ({}, [LINES, LABELS, PYTHONPATH, IMAGE, NO_DATABASE, NO_SCRAPE]),
        ({"app": {"inject": False}}, [LINES, LABELS, IMAGE, NO_DATABASE, NO_SCRAPE]),
        ({"image": {"registry": "r.example"}}, [LINES, LABELS, PYTHONPATH, NO_DATABASE, NO_SCRAPE]),
        (
            {"existingSecrets": [{"name": "shop"}]},
            [LINES, LABELS, PYTHONPATH, IMAGE, EVERY_KEY, NO_SCRAPE],
        ),
        (
            {"existingSecrets": [{"name": "shop", "items": [{"key": "URL", "path": "URL"}]}]},
            [LINES, LABELS, PYTHONPATH, IMAGE, NO_SCRAPE],
        ),
        (
            {"config": {"databases": {"a": {"url": "sqlite://"}}}},
            [LINES, LABELS, PYTHONPATH, IMAGE, NO_SCRAPE],
        ),
        ({"secrets": SECRET}, [LINES, LABELS, PYTHONPATH, IMAGE, IN_THE_CLEAR, NO_SCRAPE]),
        (
            {"podMonitor": {"enabled": True}},
            [LINES, LABELS, PYTHONPATH, IMAGE, NO_DATABASE, LABEL.format("podMonitor")],
        ),
        (
            {
                "serviceMonitor": {"enabled": True},
                "selector": {"app.kubernetes.io/instance": "shop"},
            },
            [LINES, LABELS, PYTHONPATH, IMAGE, NO_DATABASE, LABEL.format("serviceMonitor")],
        ),
        (
            {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
            [LINES, LABELS, PYTHONPATH, IMAGE, NO_DATABASE],
        ),
        (
            {"prometheusRule": RULES, "extraManifests": ["a: b"]},
            [LINES, LABELS, PYTHONPATH, IMAGE, NO_DATABASE, NO_SCRAPE],
        ),
        ({"prometheusRule": {"enabled": True}}, [LABEL.format("prometheusRule"), LINKS]),
        ({"prometheusRule": {**RULES, "runbookUrl": ""}}, [LINKS]),
        ({"prometheusRule": {**RULES, "dashboardUrl": ""}}, [LINKS]),
        ({"prometheusRule": RULES}, []),
        ({"dashboards": {"enabled": True}}, []),
        ({"standalone": {"enabled": True}}, [IMAGE, NO_DATABASE, NO_SCRAPE]),
        ({"enabled": False, "secrets": SECRET, "podMonitor": {"enabled": True}}, []),
    ],
)
def test_the_notes_remind_of_missing_settings(values: dict[str, Any], reminders: list[str]) -> None:
    assert find_reminders(values) == reminders


def test_the_notes_name_the_labels_of_the_selector() -> None:
    assert "app.kubernetes.io/instance=shop," in read_notes(render_alone())
    notes = read_notes(render_alone({"selector": {"app": "web", "tier": "front"}}))
    assert "app=web tier=front," in notes


def test_the_commands_in_the_notes_fit_the_release() -> None:
    notes = read_notes(render_alone({"standalone": {"enabled": True}, "port": 9800}))
    assert f"--namespace {NAMESPACE} port-forward deployment/shop-poolexporter 9800\n" in notes
    assert "http://127.0.0.1:9800/health/db" in notes


@pytest.mark.parametrize("key", ["runbookUrl", "dashboardUrl"])
def test_the_notes_name_missing_addresses_of_links(key: str) -> None:
    notes = read_notes(render_alone({"prometheusRule": {**RULES, key: ""}}))
    assert f"until you set prometheusRule.{key}.\n" in notes


def test_the_notes_of_a_release_of_rules_say_that_it_has_no_exporter() -> None:
    assert "and no exporter:" in read_notes(render_alone({"prometheusRule": RULES}))


def test_rules_remove_no_reminder_of_an_application() -> None:
    notes = read_notes(render_shop({"prometheusRule": RULES}))
    assert [each for each in (LINES, PYTHONPATH, IMAGE, NO_DATABASE) if each not in notes] == []


def test_a_parent_chart_can_include_the_notes() -> None:
    """Helm shows the notes of the parent chart only."""
    rendered = render_shop()
    assert rendered["shop/templates/NOTES.txt"].strip() == read_notes(rendered).strip()


def test_helm_shows_the_notes() -> None:
    with helm.Config(storage_driver="memory", kubeconfig_content="{}") as nowhere:
        release = nowhere.install(helm.Chart.load(CHART), "shop", dry_run="client")
    assert LINES in release["notes"]
