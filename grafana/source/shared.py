"""Tables and texts that both dashboards share."""

from typing import Final

from grafana_foundation_sdk.builders import table

from grafana.source.links import build_pool_link, build_runbook_link
from grafana.source.queries import POOL, Selectors, alerts, at, rate
from grafana.source.tables import Column, build_table
from grafana.source.thresholds import (
    FULL,
    HELD,
    SOME_IS_BAD,
    WAITERS,
    WAITS,
    build_names,
    build_range_name,
)

NO_APP_POOL: Final = "no pool of an application is seen: is app.dir set?"
NO_ALERT: Final = "none fires (or the rules are not loaded)"
NO_EXPORTER: Final = "no exporter is seen"
NO_SERVER_LIMIT: Final = "no server reports a limit (SQLite has none; a login may not see it)"
# Whether a database is up; for several pods, the share that reach it.
UP_NAMES: Final = (
    build_names({"0": ("down", "red"), "1": ("up", "green")}),
    build_range_name(0.001, 0.999, "some pods", "orange"),
)


def build_pool_table(
    title: str, description: str, pools: Selectors, *, no_value: str, origin: str = "app"
) -> table.Panel:
    """Return a row for each pool of each pod, the fullest first, linked to Pool detail."""
    return build_table(
        title,
        description,
        _describe_pools(pools, origin),
        first=("pool", "application", "database", "at", "namespace"),
        sort="Utilisation",
        links={"pool": build_pool_link(origin)},
        no_value=no_value,
    )


def build_alert_table(affected: str = "") -> table.Panel:
    """Return the alerts that fire, pages before tickets."""
    columns = [Column("Firing", at(alerts(affected)), hidden=True)]
    return build_table(
        "Which alerts fire?",
        "**Good:** none. **Bad:** a page: users are affected now; a ticket: they will be. **Do:** "
        "follow the alert's name to its section in docs/runbooks.md, which explains what it means, "
        "what to look at and what to change.",
        columns,
        first=("severity", "alertname", "database", "pool", "at"),
        sort="Severity",
        descending=False,
        links={"alertname": build_runbook_link()},
        no_value=NO_ALERT,
    )


def _describe_pools(pools: Selectors, origin: str) -> list[Column]:
    def total(metric: str) -> str:
        return at(f"sum by ({POOL}) ({pools.pool(metric)})")

    oldest = pools.pool("oldest_checkout_age_seconds")
    slow = at(pools.quantile(0.95, "checkout_duration_seconds", POOL))
    # Only an application has several processes.
    full = Column("Full processes", total("saturated_processes"), steps=WAITERS)
    return [
        Column("In use", total("checked_out")),
        Column("Utilisation", at(pools.utilization(POOL)), "percentunit", 0, FULL),
        *([] if origin == "probe" else [full]),
        Column("Idle", total("checked_in")),
        Column("Limit", total("max_connections")),
        Column("Waiting", total("pending_checkouts"), steps=WAITERS),
        Column("p95 checkout", slow, "s", steps=WAITS),
        Column(
            "Failed/s",
            at(f"sum by ({POOL}) ({rate(pools.failures())})"),
            "cps",
            steps=SOME_IS_BAD,
        ),
        Column("Oldest checkout", at(f"max by ({POOL}) ({oldest})"), "s", 0, HELD),
    ]
