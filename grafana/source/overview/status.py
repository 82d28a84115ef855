"""Overview, first row: is anything wrong, and where."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.links import build_database_link
from grafana.source.panels import build_stat
from grafana.source.queries import (
    DATABASE,
    POOL,
    Query,
    Selectors,
    alerts,
    database,
    quantile_of,
    scraped,
)
from grafana.source.shared import (
    NO_ALERT,
    NO_APP_POOL,
    NO_EXPORTER,
    build_alert_table,
    build_pool_table,
)
from grafana.source.tables import Column, build_table
from grafana.source.thresholds import NONE_IS_GOOD, UP, WAITERS

_APP = Selectors("app")
NO_DATABASE = "no database is configured"


def build_status_row() -> Row:
    """Return the first row."""
    stats = (
        _count_down_databases(),
        _count_reasons(),
        _count_failing_pools(),
        _count_waiting_pools(),
        _count_down_exporters(),
        _count_alerts(),
    )
    pools = build_pool_table(
        "Which pools are fullest?",
        "One row for each pool of each pod, the fullest first; a pool's name links to its details. "
        "**Good:** on average below 70 % in use, nobody waits. **Bad:** 90 % and more, callers "
        "wait or time out. **Do:** follow the name: are connections held long (slow queries, "
        "leaks), or is the pool too small for its demand?",
        _APP,
        no_value=NO_APP_POOL,
    )
    return Row(
        "Status",
        [
            Line(4, stats),
            Line(9, [pools]),
            Line(8, [_list_databases(), build_alert_table()]),
        ],
    )


def _count_down_databases() -> PanelBuilder:
    down = f"min by ({DATABASE}) ({database('up')}) == bool 0"
    return build_stat(
        "How many databases are down?",
        "Databases whose last probe failed in at least one pod. **Good:** 0. **Bad:** 1 or more: "
        "the next tile says why, the table below says which. **Do:** follow the reason: refused "
        "and timeout point to server or network, auth to the password.",
        "short",
        Query(f"sum({down})"),
        thresholds=NONE_IS_GOOD,
        no_value=NO_DATABASE,
    )


def _count_reasons() -> PanelBuilder:
    errors = database("probe_errors_total")
    failing = f"sum by ({DATABASE}, reason) (increase({errors}[5m])) > 0"
    return build_stat(
        "Why do probes fail?",
        "Number of databases by the reason for failed probes within the last 5 minutes. **Good:** "
        "none. **Bad:** any; several reasons for one database mean that its fault changes. **Do:** "
        "look the reason up in docs/metrics.md; /health/db of the exporter shows the message.",
        "short",
        Query(f"count by (reason) ({failing})", "{{reason}}"),
        thresholds=NONE_IS_GOOD,
        no_value="no probe fails",
        named=True,
    )


def _count_failing_pools() -> PanelBuilder:
    return build_stat(
        "In how many pools do checkouts fail?",
        "Pools (of one pod each) in which a checkout failed within the last 5 minutes: the pool's "
        "timeout or the caller ended the wait, or no connection could be opened. Each case is an "
        "error in the application. **Good:** 0. **Bad:** 1 or more. **Do:** see which pools below.",
        "short",
        Query(f"sum(sum by ({POOL}) (increase({_APP.failures()}[5m])) > bool 0)"),
        thresholds=NONE_IS_GOOD,
        no_value=NO_APP_POOL,
    )


def _count_waiting_pools() -> PanelBuilder:
    peak = _APP.pool("pending_checkouts_peak")
    return build_stat(
        "In how many pools do callers wait?",
        "Pools (of one pod each) in which a caller had to wait for a connection within the last 60 "
        "seconds, however briefly. **Good:** 0. **Bad:** the same pools all the time: users notice "
        "slow responses. **Do:** see how long callers wait in the row Wait.",
        "short",
        Query(f"sum(sum by ({POOL}) ({peak}) > bool 0)"),
        thresholds=WAITERS,
        no_value=NO_APP_POOL,
    )


def _count_down_exporters() -> PanelBuilder:
    return build_stat(
        "How many exporters are down?",
        "Exporters that Prometheus has discovered but cannot scrape. **Good:** 0. **Bad:** 1 or "
        "more: their pools and databases are missing on this page. **Do:** look at the target's "
        "error in Prometheus, then at the container pool-exporter of that pod.",
        "short",
        Query(f"sum(({scraped()}) == bool 0)"),
        thresholds=NONE_IS_GOOD,
        no_value=NO_EXPORTER,
    )


def _count_alerts() -> PanelBuilder:
    return build_stat(
        "How many alerts fire?",
        "Alerts of the exporter's rules that fire now. **Good:** none. **Bad:** any page. **Do:** "
        "see which in the table below.",
        "short",
        Query(f"count({alerts()})"),
        thresholds=NONE_IS_GOOD,
        no_value=NO_ALERT,
    )


def _list_databases() -> PanelBuilder:
    def by_database(function: str, expr: str) -> str:
        return f"{function} by ({DATABASE}) ({expr})"

    query = quantile_of(0.95, database("probe_duration_seconds", 'phase="query"'), DATABASE)
    last = database("probe_last_success_timestamp_seconds")
    errors = f"increase({database('probe_errors_total')}[5m])"
    columns = [
        Column("Pods that reach it", by_database("avg", database("up")), "percentunit", 0, UP),
        Column("Pods", by_database("count", database("up"))),
        Column("p95 query", query, "s", 1),
        Column("Failed in 5 min", by_database("sum", errors), decimals=0, steps=NONE_IS_GOOD),
        Column("Last answer", f"time() - {by_database('max', last)}", "s", 0),
    ]
    return build_table(
        "Which databases answer?",
        "Each configured database, the worst first. **Good:** all of its pods reach it. **Bad:** 0 "
        "%: it is down for all; in between: a node's network or one pod's secrets; no last answer: "
        "none since the exporter started. **Do:** see since when and why in the row Database.",
        columns,
        first=("database", "namespace"),
        sort="Pods that reach it",
        descending=False,
        links={"database": build_database_link()},
        no_value=NO_DATABASE,
    )
