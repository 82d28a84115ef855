"""All scenarios at once in front of one Prometheus, until the last alert fires."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from grafana.stage.prometheus import Json, Prometheus, run_prometheus
from grafana.stage.scenes import Scene, open_scenes
from tests.grafana.scenarios.catalogue import CLERK, CLERK_CONNECTIONS, HEALTHY, SCENARIOS
from tests.servers.accounts import DATABASE, MONITOR, quote_literal
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.folders import make_folder
from tests.servers.postgresql import execute, run_postgres, run_replica

# The job and the alert.
Firing = tuple[str, str]
# The slowest takes two minutes; the rest is for a busy machine.
PATIENCE = 420.0
# Room for all scenarios, far below the threshold of an alert.
CONNECTIONS = 300


@dataclass(slots=True)
class ScenarioRun:
    """A run; `fired` has each alert as it was when it was first seen firing."""

    prometheus: Prometheus
    started: float
    fired: dict[Firing, Json] = field(default_factory=dict)

    def watch(self) -> None:
        """Record the alerts that fire now."""
        for alert in self.prometheus.list_alerts():
            firing = alert["labels"]["job"], alert["labels"]["alertname"]
            if alert["state"] == "firing" and firing not in self.fired:
                self.fired[firing] = alert

    def query_range(self, expr: str) -> list[Json]:
        """Return the series of the whole run, with a value every five seconds."""
        return self.prometheus.query_range(expr, self.started, time.time(), 5)

    def list_ever_fired(self) -> set[Firing]:
        """Return all alerts that fired during the run, also those that have ended."""
        # One step into the future, for alerts that began after the last one.
        series = self.prometheus.query_range(
            'ALERTS{alertstate="firing"}', self.started, time.time() + 1
        )
        return {(each["metric"]["job"], each["metric"]["alertname"]) for each in series}


@contextmanager
def run_scenarios(folder: Path) -> Iterator[ScenarioRun]:
    """Run all scenarios until each of their alerts has fired; they keep running in the block."""
    with ExitStack() as stack:
        stack.enter_context(raise_priority())
        server = stack.enter_context(run_postgres(stack.enter_context(make_folder("postgres"))))
        make_room(server)
        create_clerk(server)
        folder_of_replica = stack.enter_context(make_folder("replica"))
        replica = stack.enter_context(run_replica(folder_of_replica, server))
        copy = {"url": replica.url(DATABASE, *MONITOR), "role": "replica"}
        more = {HEALTHY.job: {"replica": copy}}
        scenes = stack.enter_context(open_scenes(SCENARIOS, folder, server, more))
        targets = [target for scene in scenes for target in scene.list_targets()]
        prometheus = stack.enter_context(run_prometheus(folder, targets))
        play = ScenarioRun(prometheus, time.time())
        wait_until(lambda: is_calm(prometheus, len(targets)), "every database to be up", PATIENCE)
        for scene in scenes:
            scene.begin()
        wait_until(lambda: is_busy(prometheus, scenes), "every pool to be used", PATIENCE)
        for scene in scenes:
            scene.scenario.strike(scene)
        wait_for_alerts(play, scenes)
        yield play


@contextmanager
def raise_priority() -> Iterator[None]:
    """Raise the priority of processes started in the block, if this user may.

    If an exporter or a probe gets no CPU for seconds, which are minutes here, an alert fires.
    """
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before - 10)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def make_room(server: EmbeddedPostgres) -> None:
    """Raise max_connections in the server's files, since its replica must have as many."""
    execute(server, f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
    server.restart()


def create_clerk(server: EmbeddedPostgres) -> None:
    """Create the role with few connections."""
    login = f"LOGIN PASSWORD {quote_literal(CLERK.password)}"
    execute(server, f"CREATE ROLE {CLERK.user} {login} CONNECTION LIMIT {CLERK_CONNECTIONS}")


def is_calm(prometheus: Prometheus, targets: int) -> bool:
    """Return whether each database has been up for a few scrapes."""
    up = prometheus.query('count_over_time(sqlalchemy_database_up{database="shop"}[10s]) > 2')
    down = prometheus.query("min_over_time(sqlalchemy_database_up[3s]) == 0")
    return len(up) == targets and not down


def is_busy(prometheus: Prometheus, scenes: Sequence[Scene]) -> bool:
    """Return whether every pool has been used."""
    used = prometheus.query(
        'sum by (job) (sqlalchemy_pool_hold_duration_seconds_count{origin="app"}) > 2'
    )
    busy = {each["metric"]["job"] for each in used}
    return busy >= {scene.scenario.job for scene in scenes if scene.scenario.processes}


def wait_for_alerts(play: ScenarioRun, scenes: Sequence[Scene]) -> None:
    """Wait until the expected alerts have fired; TimeoutError names the missing ones."""
    expected = {(scene.scenario.job, name) for scene in scenes for name in scene.scenario.alerts}

    def is_over() -> bool:
        play.watch()
        return expected <= play.fired.keys()

    try:
        wait_until(is_over, "all alerts to fire", PATIENCE)
    except TimeoutError as error:
        missing = sorted(expected - play.fired.keys())
        raise TimeoutError(f"{error}; these have not: {missing}") from error
