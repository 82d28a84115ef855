"""Every scenario: what goes wrong, and exactly the alerts that must fire.

Where two alerts fire, a comment says why both are right.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

import psycopg

from grafana.stage.scenes import STEADY, Scenario, Scene
from tests.servers.accounts import DATABASE, PLAIN, Account

# The labels of the chart's PodMonitor. Scenarios without them are outside Kubernetes.
KUBERNETES = {"namespace": "shop", "container": "pool-exporter"}
# A role that the server grants four connections, see scenario_run.py.
CLERK = Account("clerk", PLAIN.password)
CLERK_CONNECTIONS = 4


def in_kubernetes(name: str) -> Mapping[str, str]:
    """Return the labels of a scrape in Kubernetes."""
    return {**KUBERNETES, "pod": f"{name}-7d9f8c-{{pod}}"}


def alerts(*names: str) -> frozenset[str]:
    """Return the full names of alerts."""
    return frozenset(f"SQLAlchemy{name}" for name in names)


def take_down(scene: Scene) -> None:
    """Refuse new connections and cut the open ones."""
    scene.proxy.refuse()
    scene.proxy.cut_after(1)


def refuse_connections(scene: Scene) -> None:
    """Refuse new connections; open ones stay open."""
    scene.proxy.refuse()


def revoke_access(scene: Scene) -> None:
    """Forbid new logins."""
    scene.execute(f"REVOKE CONNECT ON DATABASE {scene.scenario.database} FROM PUBLIC")


def limit_connections(scene: Scene) -> None:
    """Limit the database to one connection."""
    scene.execute(f"ALTER DATABASE {scene.scenario.database} CONNECTION LIMIT 1")


def make_read_only(scene: Scene) -> None:
    """Make new sessions read-only, and end the old ones."""
    name = scene.scenario.database
    scene.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    scene.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )


def demote_for_the_application(scene: Scene) -> None:
    """Make new sessions of the application alone read-only, and end its old ones."""
    name, user = scene.scenario.database, scene.scenario.account.user
    scene.execute(f"ALTER ROLE {user} IN DATABASE {name} SET default_transaction_read_only = on")
    scene.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND usename = '{user}'"
    )


def crowd_the_server(scene: Scene) -> None:
    """Open 22 of the 27 connections; the pools have three or four of them."""
    for _ in range(22):
        scene.stack.enter_context(psycopg.connect(scene.server.url(DATABASE, *PLAIN)))


def garble_a_file(scene: Scene) -> None:
    """Put a damaged file beside those of the application."""
    (scene.pods[0].folder / "shop-1-0123456789ab.pool").write_bytes(b"garbled" * 10000)


def kill_the_exporter(scene: Scene) -> None:
    """Kill the exporter of the first pod."""
    scene.pods[0].exporter.stop(signal.SIGKILL)


def spoil_the_configuration(scene: Scene) -> None:
    """Make the exporter of the first pod read an invalid configuration."""
    scene.pods[0].config.write_text("databases: {shop: {url: nonsense}}")
    scene.pods[0].exporter.process.send_signal(signal.SIGHUP)


HEALTHY = Scenario(
    "healthy",
    pool={"pool_size": 4},
    orders=[("use", {"threads": 4})],
    processes=2,
    labels=in_kubernetes("healthy"),
)

SCENARIOS: Sequence[Scenario] = (
    # First, because it takes longest. The connections that it keeps are held long, too.
    Scenario(
        "hoarding",
        alerts("ConnectionLeak", "ConnectionHeldLong"),
        # More than half of the pool for an hour and a half, sped up, and never all of it.
        pool={"pool_size": 12, "max_overflow": 0},
        orders=[STEADY, ("keep", {"count": 9, "every": 9})],
        labels=in_kubernetes("hoarding"),
    ),
    HEALTHY,
    Scenario(
        "exhausted",
        # The second says whose fault it is: the callers hold connections and do nothing.
        alerts("PoolExhausted", "PoolIdleInHand"),
        # Callers time out before the alert for slow checkouts would fire, and so seldom that the
        # budget's alert, which this one inhibits, comes much later.
        pool={"pool_size": 2, "max_overflow": 0, "pool_timeout": 0.2},
        orders=[
            ("use", {"threads": 2, "hold": 1, "pause": 0}),
            ("use", {"threads": 1, "hold": 1, "pause": 2}),
        ],
        labels=in_kubernetes("exhausted"),
    ),
    Scenario(
        "stuck",
        # The connections that the callers wait for are held long, and idle.
        alerts("ProcessPoolFull", "ConnectionHeldLong", "PoolIdleInHand"),
        pool={"pool_size": 2, "max_overflow": 0, "pool_timeout": 600},
        orders=[("use", {"threads": 1}), ("keep", {"count": 2, "every": 3})],
        labels=in_kubernetes("stuck"),
    ),
    Scenario(
        "burning",
        alerts("CheckoutBudgetBurn"),
        # More than the server grants: further connections fail, open ones work.
        pool={"pool_size": 10},
        orders=[("use", {"threads": 7, "hold": 0.4, "pause": 0.4})],
        account=CLERK,
    ),
    Scenario(
        "down",
        alerts("DatabaseDown"),
        # As seldom as in "exhausted", and for the same reason.
        orders=[("use", {"threads": 1, "pause": 1})],
        strike=take_down,
        labels=in_kubernetes("down"),
    ),
    Scenario(
        "crowded",
        alerts("ServerConnectionsNearLimit"),
        server={"max_connections": "30", "superuser_reserved_connections": "3"},
        strike=crowd_the_server,
    ),
    Scenario(
        "full",
        alerts("ServerConnectionsNearLimit"),
        database="narrow",
        strike=limit_connections,
        labels=in_kubernetes("full"),
    ),
    Scenario("readonly", alerts("PrimaryReadOnly"), database="readonly", strike=make_read_only),
    Scenario(
        "demoted",
        alerts("WritesFailReadOnly"),
        orders=[STEADY, ("write", {})],
        database="demoted",
        strike=demote_for_the_application,
        labels=in_kubernetes("demoted"),
    ),
    Scenario(
        "overcommitted",
        alerts("PodsOvercommitServer"),
        # Of 17 connections two pods may take 11 each, the exporters' own included.
        pool={"pool_size": 5, "max_overflow": 5},
        pods=2,
        server={"max_connections": "20", "superuser_reserved_connections": "3"},
        labels=in_kubernetes("overcommitted"),
    ),
    Scenario(
        "slow",
        # Callers wait because connections are idle in hand.
        alerts("CheckoutsSlow", "PoolIdleInHand"),
        pool={"pool_size": 2, "max_overflow": 0, "pool_timeout": 30},
        orders=[("use", {"threads": 10, "hold": 0.2, "pause": 0.01})],
    ),
    Scenario(
        "held",
        alerts("ConnectionHeldLong"),
        orders=[STEADY, ("keep", {})],
    ),
    Scenario(
        "leaking",
        alerts("ConnectionLeak"),
        orders=[STEADY, ("lose", {})],
        labels=in_kubernetes("leaking"),
    ),
    Scenario(
        "churning",
        alerts("ConnectionChurn"),
        pool={"pool_size": 1, "max_overflow": 9},
        orders=[("use", {"threads": 4, "hold": 0.1, "pause": 0.1})],
    ),
    Scenario("multiplying", alerts("EnginesMultiply"), orders=[STEADY, ("multiply", {})]),
    Scenario(
        "revoked",
        alerts("NewConnectionsFail"),
        database="revoked",
        strike=revoke_access,
    ),
    Scenario(
        "fenced",
        alerts("NewConnectionsFail"),
        strike=refuse_connections,
        labels=in_kubernetes("fenced"),
    ),
    Scenario(
        "garbled",
        alerts("MetricsStale"),
        processes=0,
        strike=garble_a_file,
        labels=in_kubernetes("garbled"),
    ),
    # One in Kubernetes, and one that only its metrics show to be an exporter.
    Scenario("killed", alerts("ExporterDown"), processes=0, strike=kill_the_exporter),
    Scenario(
        "killedpod",
        alerts("ExporterDown"),
        processes=0,
        strike=kill_the_exporter,
        labels=in_kubernetes("killedpod"),
    ),
    Scenario(
        "rejected", alerts("ExporterConfigRejected"), processes=0, strike=spoil_the_configuration
    ),
)
