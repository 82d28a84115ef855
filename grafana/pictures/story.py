"""What the pictures show: three minutes of an application, watched by a real Prometheus.

Calm; more callers; more than the pools have connections for; calm; the database gone for a while;
recovery. It runs on the stage that the tests of the alerts run on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from grafana.stage.pods import Order
from grafana.stage.prometheus import Prometheus, run_prometheus
from grafana.stage.scenes import Scenario, Scene, open_scene
from tests.servers.accounts import DATABASE as DATABASE_OF_SERVER
from tests.servers.accounts import MONITOR
from tests.servers.conditions import wait_until
from tests.servers.folders import make_folder
from tests.servers.postgresql import run_postgres, run_replica

# Different names, so that a legend says which is which.
JOB, NAMESPACE, DATABASE, REPLICA = "web", "prod", "orders-db", "replica"
# Seconds until there are rates. The times below are described in docs/dashboards.md and README.md.
WARMING = 8
MORE, TOO_MANY, WORST, ENOUGH, GONE, BACK, END = 25, 45, 80, 90, 120, 140, 180
# Percentiles are interpolated within buckets. These fill a bucket evenly, and waits end within
# one, so that percentiles agree with the other numbers.
HOLDS = (0.28, 0.35, 0.42, 0.48)
TIMEOUT = 0.9


# One calls another service with a connection in hand, the other waits for its query.
CHAT, SEARCH = "POST /chat/{id}", "GET /search"


def come(at: float, threads: int, request: tuple[str, float, float], until: float) -> Order:
    """Return an order for more callers in each process, between two moments of the story."""
    times = {"seconds": until - at, "after": WARMING + at}
    return "rush", {"threads": threads, "request": request, **times}


# In each of the four processes.
ORDERS: list[Order] = [
    ("use", {"threads": 3, "hold": 0.04, "pause": 0.2}),
    *(come(MORE, 1, (SEARCH, hold, hold), until=100) for hold in (0.15, 0.23)),
    *(come(TOO_MANY, 5, (CHAT, hold, 0.0), ENOUGH) for hold in HOLDS),
    ("lose", {"every": 25}),
]
SCENARIO = Scenario(
    JOB,
    pool={"pool_size": 3, "max_overflow": 2, "pool_timeout": TIMEOUT},
    orders=ORDERS,
    processes=2,
    pods=2,
    labels={"namespace": NAMESPACE, "pod": "shop-{pod}", "container": "pool-exporter"},
    known_as=DATABASE,
)
# Not in SCENARIO, because a scenario's own server has no replica.
SERVER = {"max_connections": "34", "max_wal_senders": "2"}


@dataclass(frozen=True, slots=True)
class Story:
    """A story from `started` to `ended`, Unix times; `worst` is seconds after `started`."""

    prometheus: Prometheus
    job: str
    started: float
    worst: float
    ended: float


@contextmanager
def run_story(folder: Path) -> Iterator[Story]:
    """Run the story, which takes three and a half minutes; other users must reach the folder."""
    with ExitStack() as stack:
        first = stack.enter_context(make_folder("postgres"))
        server = stack.enter_context(run_postgres(first, SERVER))
        copies = stack.enter_context(make_folder("replica"))
        replica = stack.enter_context(run_replica(copies, server))
        copy = {"url": replica.url(DATABASE_OF_SERVER, *MONITOR), "role": "replica"}
        scene = stack.enter_context(open_scene(SCENARIO, folder, server, {REPLICA: copy}))
        targets = list(scene.list_targets())
        yield play(stack.enter_context(run_prometheus(folder, targets)), scene)


def play(prometheus: Prometheus, scene: Scene) -> Story:
    """Let the application work, and take the database away for a while."""
    wait_until(lambda: len(prometheus.query("sqlalchemy_database_up == 1")) == 4, "databases", 60)
    scene.begin()
    started = time.time() + WARMING
    say("calm, then more and more callers")
    write_until(scene, started + GONE)
    say("the database is gone")
    scene.proxy.refuse()
    scene.proxy.cut_after(1)
    write_until(scene, started + BACK)
    say("it is back")
    scene.proxy.heal()
    write_until(scene, started + END)
    return Story(prometheus, JOB, started, WORST, time.time())


def write_until(scene: Scene, moment: float) -> None:
    """Commit every second until then: a replica's lag is known by its last commit only."""
    while (left := moment - time.time()) > 0:
        time.sleep(min(left, 1))
        scene.execute("SELECT pg_current_xact_id()")


def say(what: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
