"""Scenarios, and running ones: a database behind a proxy, and pods that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from grafana.stage.pods import Order, Pod, Workload, run_pod
from grafana.stage.prometheus import Target
from tests.servers.accounts import DATABASE, MONITOR, PLAIN, Account
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.folders import make_folder
from tests.servers.postgresql import execute, run_postgres
from tests.servers.proxy import Proxy, open_proxy

STEADY: Order = ("use", {})


@dataclass(frozen=True, slots=True)
class Scenario:
    """Pods, a database, what happens to them, and the alerts that fire then.

    Attributes:
        job: The scenario's name and the job of its scrapes.
        strike: Does what goes wrong.
        labels: Labels of the scrapes; `{pod}` becomes the number of the pod.
        server: Options of a server of its own; None shares one with other scenarios.
        database: The name of the database on the server, created if it is missing.
        known_as: The name of the database in the exporter's configuration.
    """

    job: str
    alerts: frozenset[str] = frozenset()
    pool: Mapping[str, Any] = field(default_factory=lambda: {"pool_size": 3})
    orders: Sequence[Order] = (STEADY,)
    processes: int = 1
    pods: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    server: Mapping[str, str] | None = None
    database: str = DATABASE
    known_as: str = DATABASE
    account: Account = PLAIN
    strike: Callable[[Scene], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Scene:
    """A running scenario; what is entered on `stack` ends with it."""

    scenario: Scenario
    server: EmbeddedPostgres
    proxy: Proxy
    pods: Sequence[Pod]
    stack: ExitStack

    def begin(self) -> None:
        """Let the applications start with their orders."""
        for pod in self.pods:
            pod.begin()

    def execute(self, statement: str) -> None:
        """Run a statement as the superuser."""
        execute(self.server, statement)

    def list_targets(self) -> Iterator[Target]:
        """Yield the exporters that Prometheus scrapes."""
        for number, pod in enumerate(self.pods):
            labels = {
                name: value.format(pod=number) for name, value in self.scenario.labels.items()
            }
            yield Target(self.scenario.job, pod.address, labels)


@contextmanager
def open_scenes(
    scenarios: Sequence[Scenario],
    folder: Path,
    shared: EmbeddedPostgres,
    more: Mapping[str, Mapping[str, Any]],
) -> Iterator[list[Scene]]:
    """Start all scenarios; `more` are further databases for the exporters of some jobs."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as threads:

        def open_one(scenario: Scenario) -> Scene:
            opened = open_scene(scenario, folder, shared, more.get(scenario.job, {}))
            return stack.enter_context(opened)

        yield list(threads.map(open_one, scenarios))


@contextmanager
def open_scene(
    scenario: Scenario, folder: Path, shared: EmbeddedPostgres, more: Mapping[str, Any]
) -> Iterator[Scene]:
    """Start a scenario; `more` are further databases for its exporters."""
    with ExitStack() as stack:
        server = shared
        if scenario.server is not None:
            own = stack.enter_context(make_folder("postgres"))
            server = stack.enter_context(run_postgres(own, scenario.server))
        if scenario.database != DATABASE:
            execute(server, f"CREATE DATABASE {scenario.database}")
        proxy = stack.enter_context(open_proxy(server.port))
        workload = Workload(
            build_url(scenario, server, proxy, scenario.account, "psycopg"),
            scenario.pool,
            scenario.orders,
            scenario.processes,
        )
        watched = build_url(scenario, server, proxy, MONITOR, "asyncpg")
        databases = {scenario.known_as: {"url": watched, "role": "primary"}, **more}
        pods = [
            stack.enter_context(run_pod(folder / f"{scenario.job}-{number}", workload, databases))
            for number in range(scenario.pods)
        ]
        yield Scene(scenario, server, proxy, pods, stack)


def build_url(
    scenario: Scenario, server: EmbeddedPostgres, proxy: Proxy, account: Account, driver: str
) -> str:
    """Return the URL of the database through the proxy."""
    url = make_url(server.url(scenario.database, *account, driver=driver)).set(port=proxy.port)
    return url.render_as_string(hide_password=False)
