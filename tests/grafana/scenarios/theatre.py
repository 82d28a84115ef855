"""All scenarios side by side before one Prometheus, from the first scrape to the last alert."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.grafana.scenarios.catalogue import CLERK, CLERK_CONNECTIONS, HEALTHY, SCENARIOS
from tests.grafana.scenarios.prometheus import Json, Prometheus, run_prometheus
from tests.grafana.scenarios.scenes import Scene, open_scenes
from tests.servers.accounts import DATABASE, MONITOR, quote_literal
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.folders import make_folder
from tests.servers.postgresql import execute, run_postgres, run_replica

# An alert of a job: what fires, and where.
Firing = tuple[str, str]
# The slowest takes two minutes; the rest is for a machine that has other things to do.
PATIENCE = 420.0
# Room for all scenarios, far from where an alert would begin.
CONNECTIONS = 300


@dataclass(slots=True)
class Play:
    """What was seen: `fired` has each alert as it was when it was first seen to fire."""

    prometheus: Prometheus
    started: float
    fired: dict[Firing, Json] = field(default_factory=dict)

    def watch(self) -> None:
        """Notes what fires now."""
        for alert in self.prometheus.list_alerts():
            firing = alert["labels"]["job"], alert["labels"]["alertname"]
            if alert["state"] == "firing" and firing not in self.fired:
                self.fired[firing] = alert

    def query_range(self, expr: str) -> list[Json]:
        """The series of the whole run, a value every five seconds."""
        return self.prometheus.query_range(expr, self.started, time.time(), 5)

    def list_ever_fired(self) -> set[Firing]:
        """Over the whole run, also what has ended."""
        # Into the future by a step, for what has begun since the last one.
        series = self.prometheus.query_range(
            'ALERTS{alertstate="firing"}', self.started, time.time() + 1
        )
        return {(each["metric"]["job"], each["metric"]["alertname"]) for each in series}


@contextmanager
def open_theatre(folder: Path) -> Iterator[Play]:
    """Plays all scenarios until each of their alerts has fired; then everything goes on."""
    with ExitStack() as stack:
        stack.enter_context(go_first())
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
        play = Play(prometheus, time.time())
        wait_until(lambda: is_calm(prometheus, len(targets)), "every database to be up", PATIENCE)
        for scene in scenes:
            scene.begin()
        wait_until(lambda: is_busy(prometheus, scenes), "every pool to be used", PATIENCE)
        for scene in scenes:
            scene.scenario.strike(scene)
        wait_for_alerts(play, scenes)
        yield play


@contextmanager
def go_first() -> Iterator[None]:
    """Has what is started here go before what else this machine has to do, where that is allowed.

    An exporter or a probe that gets no turn for seconds, which are minutes here, is an alert too.
    """
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before - 10)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def make_room(server: EmbeddedPostgres) -> None:
    """In the server's files and not as an option, for a replica must have as much."""
    execute(server, f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
    server.restart()


def create_clerk(server: EmbeddedPostgres) -> None:
    login = f"LOGIN PASSWORD {quote_literal(CLERK.password)}"
    execute(server, f"CREATE ROLE {CLERK.user} {login} CONNECTION LIMIT {CLERK_CONNECTIONS}")


def is_calm(prometheus: Prometheus, targets: int) -> bool:
    """Whether each database has been up for a few scrapes, so that a fault is one."""
    up = prometheus.query('count_over_time(sqlalchemy_database_up{database="shop"}[10s]) > 2')
    down = prometheus.query("min_over_time(sqlalchemy_database_up[3s]) == 0")
    return len(up) == targets and not down


def is_busy(prometheus: Prometheus, scenes: Sequence[Scene]) -> bool:
    used = prometheus.query(
        'sum by (job) (sqlalchemy_pool_hold_duration_seconds_count{origin="app"}) > 2'
    )
    busy = {each["metric"]["job"] for each in used}
    return busy >= {scene.scenario.job for scene in scenes if scene.scenario.processes}


def wait_for_alerts(play: Play, scenes: Sequence[Scene]) -> None:
    expected = {(scene.scenario.job, name) for scene in scenes for name in scene.scenario.alerts}

    def is_over() -> bool:
        play.watch()
        return expected <= play.fired.keys()

    try:
        wait_until(is_over, "all alerts to fire", PATIENCE)
    except TimeoutError as error:
        missing = sorted(expected - play.fired.keys())
        raise TimeoutError(f"{error}; these have not: {missing}") from error
