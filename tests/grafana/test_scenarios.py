"""In each scenario its alerts fire and no others, and dashboards and runbooks have data.

A real Prometheus scrapes real exporters beside real applications on a real PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from grafana.dashboard_queries import Json, fill, list_panels, load_dashboard, read_defaults
from grafana.stage.pods import APPLICATION
from grafana.stage.rules import speed_up
from tests.grafana.promql import list_selectors
from tests.grafana.rule_files import ALERT_RULES, RECORDS, SECTIONS, list_queries
from tests.grafana.scenarios.catalogue import HEALTHY, SCENARIOS
from tests.grafana.scenarios.scenario_run import ScenarioRun, run_scenarios
from tests.servers.programs import find_program

EXPECTED = sorted((scenario.job, name) for scenario in SCENARIOS for name in scenario.alerts)
LABELS = {scenario.job: scenario.labels for scenario in SCENARIOS}
DASHBOARDS = ("overview.json", "pool-detail.json")
# Scrapes and probes are quicker here than Grafana takes them to be.
INTERVALS = {"__rate_interval": "10s", "__range": "2m"}
# The scenario that a panel, or else a row, is for; else it is looked at where nothing is wrong.
ROWS = {
    "Saturation": "exhausted",
    "Wait": "exhausted",
    "Who holds the connections": "slow",
    "Busy, or idle in hand": "slow",
    "Use": "slow",
    "Churn": "churning",
    "Server limits": "overcommitted",
}
PANELS = {
    "How many databases are down?": "down",
    "Why do probes fail?": "down",
    "Does the database answer?": "down",
    "Which databases answer?": "down",
    "Which databases were up, and when?": "down",
    "Which pods reach the database, and when?": "down",
    "When did each database last answer?": "down",
    "In how many pools do checkouts fail?": "exhausted",
    "In how many pools do callers wait?": "exhausted",
    "How many callers wait now?": "exhausted",
    "How many checkouts failed? (in the time shown)": "exhausted",
    "How full are the pools?": "exhausted",
    "How many exporters are down?": "killed",
    "When was the exporter scraped?": "killed",
    "How many alerts fire?": "exhausted",
    "Which alerts fire?": "exhausted",
    "Why do checkouts fail?": "burning",
    "How full is each server?": "crowded",
    "What do the server's connections do?": "crowded",
    "How full is the server, and with what?": "crowded",
    "How old is the oldest checkout?": "held",
    "How long has the oldest checkout been out?": "held",
    "How many connections are always out?": "hoarding",
    "How many connections did the garbage collector return?": "leaking",
    "Whose connections did the garbage collector return?": "leaking",
    "How often and how long does each holder keep one?": "held",
    "Who keeps connections for too long?": "held",
    "Why do connections and statements fail?": "down",
    "Does it accept writes, and should it?": "readonly",
    "Do new connections work like the pooled ones?": "revoked",
    "Are the files of the applications' processes read?": "garbled",
    "Are the files of the processes read?": "garbled",
    # The only one with a replica.
    "How far is the replica behind?": HEALTHY.job,
}
# The numbers that stand where something is wrong, and where nothing is.
STATS = [
    ("How many databases are down?", "down"),
    ("In how many pools do checkouts fail?", "exhausted"),
    ("In how many pools do callers wait?", "exhausted"),
    ("How many exporters are down?", "killed"),
]
# Tested in test_native_histograms.py.
OF_NATIVE_HISTOGRAMS = {name for name in RECORDS if f"{name}_bucket" in RECORDS}
# Not a read-only primary, but a replica has what this one asks for.
OF_A_REPLICA = "sqlalchemy_database_replication_lag_seconds"


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScenarioRun]:
    find_program("prometheus", package="prometheus")
    with run_scenarios(tmp_path_factory.mktemp("theatre")) as played:
        yield played


class Asked(NamedTuple):
    """A query of a panel with the variables of a scenario."""

    dashboard: str
    title: str
    job: str
    expr: str


def shorten(row: str) -> str:
    """Return the title of a row without its brackets."""
    return re.sub(r" \(.*", "", row)


def choose_job(row: str, title: str) -> str:
    return PANELS.get(title) or ROWS.get(shorten(row), HEALTHY.job)


def choose_variables(dashboard: Json, job: str) -> dict[str, str]:
    """Return the variables that select the first pod of a scenario, and its pool."""
    labels = LABELS[job]
    pod = {str(name): labels[name].format(pod=0) for name in ("namespace", "pod") if name in labels}
    is_detail = dashboard["uid"] == "sqlalchemy-pool-detail"
    pool = {"application": APPLICATION, "pool": "orders"} if is_detail else {}
    return {**read_defaults(dashboard), **INTERVALS, "job": job, **pod, **pool}


def list_panel_queries() -> list[Asked]:
    return [
        Asked(name, panel["title"], job, fill(target["expr"], choose_variables(dashboard, job)))
        for name in DASHBOARDS
        for dashboard in [load_dashboard(name)]
        for row, panel in list_panels(dashboard)
        for job in [choose_job(row, panel["title"])]
        for target in panel["targets"]
    ]


def list_runbook_queries() -> list[tuple[str, str]]:
    """Return pairs of an alert and a query, three for each alert."""
    return [(name, query) for name, text in SECTIONS.items() for query in list_queries(text)]


def confine(expr: str, job: str) -> str:
    """Return the query for one job."""
    for name in {selector.name for selector in list_selectors(expr)}:
        expr = re.sub(rf"\b{name}\b(?!{{)(?!:)", f"{name}{{}}", expr)
        expr = re.sub(rf"\b{name}{{", f'{name}{{job="{job}",', expr)
    return expr


def test_every_alert_has_a_scenario() -> None:
    assert {name for _, name in EXPECTED} == ALERT_RULES.keys()


def test_every_panel_and_row_with_a_scenario_is_on_a_dashboard() -> None:
    shown = [each for name in DASHBOARDS for each in list_panels(load_dashboard(name))]

    assert PANELS.keys() <= {panel["title"] for _, panel in shown}
    assert ROWS.keys() <= {shorten(row) for row, _ in shown}


@pytest.mark.parametrize(
    ("slow", "quick"),
    [
        (
            'rate(failures{reason="timeout"}[5m]) > 3',
            'rate(failures{reason="timeout"}[10000ms]) > 3',
        ),
        ("max_over_time((up == 0)[90s:15s])", "max_over_time((up == 0)[3000ms:500ms])"),
        ("checked_out:floor30m offset 1h > 0.5", "checked_out:floor30m offset 120000ms > 0.5"),
        ('oldest_age_seconds{origin="app"} > 300', 'oldest_age_seconds{origin="app"} > 10'),
        (
            "last_over_time(oldest_age_seconds[3m])\n  > 120",
            "last_over_time(oldest_age_seconds[6000ms])\n  > 4",
        ),
        ("p95_rate5m > 0.5  # threshold: slow", "p95_rate5m > 0.5  # threshold: slow"),
        ("        for: 1m", "        for: 2000ms"),
    ],
)
def test_speeding_up_changes_durations_and_ages_alone(slow: str, quick: str) -> None:
    assert speed_up(slow, factor=30) == quick


@pytest.mark.parametrize(("job", "name"), EXPECTED)
def test_alert_fires_in_its_scenario(play: ScenarioRun, job: str, name: str) -> None:
    labels = play.fired[job, name]["labels"]

    assert labels["severity"] in {"page", "ticket"}
    assert labels.get("namespace") == LABELS[job].get("namespace")


def test_no_other_alert_fires(play: ScenarioRun) -> None:
    assert sorted(play.list_ever_fired()) == EXPECTED


@pytest.mark.parametrize(("job", "name"), EXPECTED)
def test_texts_of_an_alert_are_complete(play: ScenarioRun, job: str, name: str) -> None:
    texts = play.fired[job, name]["annotations"]

    assert set(texts) == {"summary", "description", "runbook_url", "dashboard_url"}
    for text in texts.values():
        assert not re.search(r"<no value>|%!|<error|\{\{|  |^ | $", text), text
    assert f"var-job={job}" in texts["dashboard_url"]


@pytest.mark.parametrize(
    ("job", "name", "reason"),
    [
        ("down", "SQLAlchemyDatabaseDown", "refused"),
        ("revoked", "SQLAlchemyNewConnectionsFail", "auth"),
        ("fenced", "SQLAlchemyNewConnectionsFail", "refused"),
    ],
)
def test_the_summary_of_an_alert_names_the_reason(
    play: ScenarioRun, job: str, name: str, reason: str
) -> None:
    assert play.fired[job, name]["annotations"]["summary"].endswith(f": {reason}")


@pytest.mark.parametrize("asked", list_panel_queries(), ids=lambda each: each.title)
def test_panel_has_data(play: ScenarioRun, asked: Asked) -> None:
    assert play.query_range(asked.expr), asked


@pytest.mark.parametrize(("title", "job"), STATS)
def test_a_number_is_one_in_its_scenario_and_zero_in_the_healthy_one(
    play: ScenarioRun, title: str, job: str
) -> None:
    dashboard = load_dashboard("overview.json")
    [panel] = [panel for _, panel in list_panels(dashboard) if panel["title"] == title]

    def read(job: str) -> set[float]:
        expr = fill(panel["targets"][0]["expr"], choose_variables(dashboard, job))
        return {float(value) for each in play.query_range(expr) for _, value in each["values"]}

    assert 1 in read(job)
    assert read(HEALTHY.job) == {0}


@pytest.mark.parametrize(("alert", "expr"), list_runbook_queries())
def test_a_query_of_a_runbook_has_data_where_its_alert_fires(
    play: ScenarioRun, alert: str, expr: str
) -> None:
    [job, *_] = [job for job, name in EXPECTED if name == alert]
    if expr == OF_A_REPLICA:
        job = HEALTHY.job

    # What is zero is left out of the answer, and may be all of it.
    assert play.query_range(confine(expr.removesuffix(" > 0"), job))


@pytest.mark.parametrize("record", sorted(RECORDS - OF_NATIVE_HISTOGRAMS))
def test_recording_rule_has_data(play: ScenarioRun, record: str) -> None:
    assert play.prometheus.query(f"last_over_time({record}[10m])")
