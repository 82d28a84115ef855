"""A story of three and a half minutes, seen by a real Prometheus: what the pictures show.

Calm; more and more callers until the pools are exhausted; the database gone for a while; recovery.
It runs on what the tests of the alerts run on, with a PostgreSQL of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.grafana.scenarios.pods import Order
from tests.grafana.scenarios.prometheus import Prometheus, run_prometheus
from tests.grafana.scenarios.scenes import Scenario, Scene, open_scene
from tests.servers.accounts import DATABASE, MONITOR
from tests.servers.conditions import wait_until
from tests.servers.folders import make_folder
from tests.servers.postgresql import run_postgres, run_replica

# Until a rate can be known; then the parts of the story.
WARMING_SECONDS = 8
CALM_SECONDS, RUSH_SECONDS, AFTER_RUSH_SECONDS = 45, 45, 30
DOWN_SECONDS, AFTERWARDS_SECONDS = 20, 40
# In each of the four processes.
ORDERS: list[Order] = [
    ("use", {"threads": 3, "hold": 0.04, "pause": 0.2}),
    ("rush", {"threads": 2, "hold": 0.2, "seconds": 75, "after": CALM_SECONDS - 12}),
    (
        "rush",
        {
            "threads": 16,
            "hold": 0.5,
            "seconds": RUSH_SECONDS,
            "after": CALM_SECONDS + WARMING_SECONDS,
        },
    ),
    ("lose", {"every": 25}),
]
SHOP = Scenario(
    "shop",
    pool={"pool_size": 3, "max_overflow": 2, "pool_timeout": 0.7},
    orders=ORDERS,
    processes=2,
    pods=2,
    labels={"namespace": "shop", "pod": "shop-{pod}", "container": "pool-exporter"},
    server={"max_connections": "34", "max_wal_senders": "2"},
)


@dataclass(frozen=True, slots=True)
class Story:
    """Told by unix times: `worst` is when the pools were exhausted, `down` the database."""

    prometheus: Prometheus
    started: float
    worst: float
    down: float
    ended: float


@contextmanager
def tell_story(folder: Path) -> Iterator[Story]:
    with ExitStack() as stack:
        first = stack.enter_context(make_folder("postgres"))
        server = stack.enter_context(run_postgres(first, SHOP.server))
        copies = stack.enter_context(make_folder("replica"))
        replica = stack.enter_context(run_replica(copies, server))
        copy = {"url": replica.url(DATABASE, *MONITOR), "role": "replica"}
        scene = stack.enter_context(open_scene(SHOP, folder, server, {"replica": copy}))
        targets = list(scene.list_targets())
        yield play(stack.enter_context(run_prometheus(folder, targets)), scene)


def play(prometheus: Prometheus, scene: Scene) -> Story:
    wait_until(lambda: len(prometheus.query("sqlalchemy_database_up == 1")) == 4, "databases", 60)
    scene.begin()
    time.sleep(WARMING_SECONDS)
    started = time.time()
    say("calm, then more and more callers")
    time.sleep(CALM_SECONDS + RUSH_SECONDS)
    worst = time.time() - 8
    time.sleep(AFTER_RUSH_SECONDS)
    say("the database is gone")
    scene.proxy.refuse()
    scene.proxy.cut_after(1)
    time.sleep(DOWN_SECONDS)
    down = time.time() - 2
    say("it is back")
    scene.proxy.heal()
    time.sleep(AFTERWARDS_SECONDS)
    return Story(prometheus, started, worst, down, time.time())


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
