"""The catalogue of faults: what happens to a database, and what the exporter must report.

docs/faults.md has it as a table, see tests/test_docs_faults.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy_pool_exporter.failures import Reason
from tests.faults import strikes
from tests.faults.scenes import OpenScene, behind_proxy, on_mariadb, on_pgbouncer, on_postgres
from tests.faults.strikes import Strike, damage_proxy

# A word in the probe's query that no login contains.
MARKER = "probe_of_the_exporter"
QUERY = f"SELECT 1 AS {MARKER}"
QUERY_OF_LOCKED = "SELECT count(*) FROM locked"
# Far beyond any timeout of a test.
DELAY_SECONDS = 60.0
# Less than the answer to a login.
CUT_AFTER_BYTES = 30


class Noticed(StrEnum):
    """Which probe meets the fault."""

    ANY = "any probe"
    # Open connections still work.
    FRESH = "a probe with a new connection"
    # It may have ended before the next probe.
    MAYBE = "a probe that comes in time"


class Lasts(StrEnum):
    """When it is over."""

    UNTIL_HEALED = "when it is healed"
    # The next probe replaces the connection.
    ONE_PROBE = "by itself"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its effect.

    Attributes:
        name: The id of its tests.
        what: What happens, for docs/faults.md.
        where: The server and the driver, for docs/faults.md.
        is_slow: The fault takes as long as a server's start.
        is_deaf: The server does not notice that waiting clients disconnect, so that it counts
            their sessions until it is healed.
    """

    name: str
    what: str
    where: str
    open_scene: OpenScene
    strike: Strike
    reasons: frozenset[Reason]
    noticed: Noticed = Noticed.ANY
    lasts: Lasts = Lasts.UNTIL_HEALED
    query: str = QUERY
    is_slow: bool = False
    is_deaf: bool = False

    def __str__(self) -> str:
        return self.name


REFUSED = frozenset({Reason.REFUSED})
TIMEOUT = frozenset({Reason.TIMEOUT})
TOO_MANY = frozenset({Reason.TOO_MANY_CONNECTIONS})

DRIVERS = {
    "asyncpg": "PostgreSQL, asyncpg",
    "psycopg": "PostgreSQL, psycopg",
    "pymysql": "MariaDB, pymysql",
}
SERVERS = {"postgresql": ("PostgreSQL", on_postgres), "mariadb": ("MariaDB", on_mariadb)}


def list_proxied(driver: str) -> list[Fault]:
    """Return the faults of networks."""
    where, scene = DRIVERS[driver], behind_proxy(driver)
    return [
        Fault(
            f"{driver}-refuses",
            "new connections are refused, old ones work",
            where,
            scene,
            damage_proxy(lambda proxy: proxy.refuse()),
            REFUSED,
            Noticed.FRESH,
        ),
        Fault(
            f"{driver}-silent",
            "new connections are taken and never answered, old ones work",
            where,
            scene,
            damage_proxy(lambda proxy: proxy.stay_silent()),
            TIMEOUT,
            Noticed.FRESH,
        ),
        Fault(
            f"{driver}-reset",
            "connections are reset in the middle of a query",
            where,
            scene,
            damage_proxy(lambda proxy: proxy.reset_at(MARKER.encode())),
            REFUSED,
        ),
        Fault(
            f"{driver}-delayed",
            "every packet is late by more than the timeout",
            where,
            scene,
            damage_proxy(lambda proxy: proxy.delay(DELAY_SECONDS)),
            TIMEOUT,
        ),
        Fault(
            f"{driver}-cut",
            f"connections end after {CUT_AFTER_BYTES} bytes",
            where,
            scene,
            damage_proxy(lambda proxy: proxy.cut_after(CUT_AFTER_BYTES)),
            REFUSED,
        ),
        Fault(
            f"{driver}-lost",
            "a firewall forgets open connections, new ones work",
            where,
            scene,
            damage_proxy(lambda proxy: proxy.lose()),
            TIMEOUT,
            lasts=Lasts.ONE_PROBE,
        ),
        Fault(
            f"{driver}-black-hole",
            "every packet vanishes",
            where,
            scene,
            damage_proxy(strikes.lose_silently),
            TIMEOUT,
        ),
    ]


def list_of_server(name: str) -> list[Fault]:
    """Return the faults of a server."""
    where, scene = SERVERS[name]
    fill = strikes.full_postgres if name == "postgresql" else strikes.full_mariadb
    return [
        Fault(
            f"{name}-restarted",
            "the server is restarted",
            where,
            scene,
            strikes.restarted,
            REFUSED,
            Noticed.MAYBE,
            Lasts.ONE_PROBE,
            is_slow=True,
        ),
        Fault(
            f"{name}-stopped",
            "the server is stopped",
            where,
            scene,
            strikes.stopped,
            REFUSED,
            is_slow=True,
        ),
        Fault(
            f"{name}-paused",
            "the server's processes are stopped (SIGSTOP)",
            where,
            scene,
            strikes.paused,
            TIMEOUT,
        ),
        Fault(
            f"{name}-full",
            "the server has no connection left",
            where,
            scene,
            fill,
            TOO_MANY,
            Noticed.FRESH,
        ),
        Fault(
            f"{name}-table-locked",
            "somebody locks the table that `probe.query` reads",
            where,
            scene,
            strikes.locked_table,
            TIMEOUT,
            query=QUERY_OF_LOCKED,
        ),
    ]


LOCKED_CATALOGUE = Fault(
    "postgresql-catalogue-locked",
    "somebody locks the catalogue: no session can be opened",
    "PostgreSQL",
    on_postgres,
    strikes.locked_catalogue,
    TIMEOUT,
    Noticed.FRESH,
)

OF_PGBOUNCER = [
    Fault(
        "pgbouncer-paused",
        "`PAUSE` on the console",
        "PgBouncer",
        on_pgbouncer,
        strikes.paused_by_command,
        TIMEOUT,
        is_deaf=True,
    ),
    Fault(
        "pgbouncer-restarted",
        "PgBouncer is restarted",
        "PgBouncer",
        on_pgbouncer,
        strikes.restarted,
        REFUSED,
        Noticed.MAYBE,
        Lasts.ONE_PROBE,
    ),
    Fault(
        "pgbouncer-stopped",
        "PgBouncer is stopped",
        "PgBouncer",
        on_pgbouncer,
        strikes.stopped,
        REFUSED,
    ),
    Fault(
        "pgbouncer-server-stopped",
        "the server behind PgBouncer is stopped",
        "PgBouncer",
        on_pgbouncer,
        strikes.stopped_behind,
        # A client that connected before PgBouncer noticed waits until its timeout.
        REFUSED | TIMEOUT,
        is_slow=True,
    ),
]

CATALOGUE = [
    *(fault for driver in DRIVERS for fault in list_proxied(driver)),
    *(fault for name in SERVERS for fault in list_of_server(name)),
    LOCKED_CATALOGUE,
    *OF_PGBOUNCER,
]
