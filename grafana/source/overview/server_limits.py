"""Overview: whether all pods together fit into their servers."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series
from grafana.source.queries import (
    DATABASE,
    Query,
    available,
    committed,
    server,
    share,
    taken,
)
from grafana.source.shared import NO_SERVER_LIMIT
from grafana.source.tables import Column, build_table
from grafana.source.thresholds import COMMITTED, FULL

_LEGEND = "{{database}} · {{job}}"


def build_server_limits_row() -> Row:
    """Return the row of the servers' limits, over all pods, selected or not."""
    return Row(
        "Server limits (all pods, whichever are selected)",
        [Line(6, [_list_room()]), Line(9, [_show_taken(), _show_committed(), _show_states()])],
    )


def _list_room() -> PanelBuilder:
    per_pod = f"max by ({DATABASE}) ({committed('namespace, job, instance, database')})"
    pods = f"count by ({DATABASE}) ({committed('namespace, job, instance, database')})"
    room = f"floor(({available()} - {committed()}) / {per_pod})"
    columns = [
        Column("Server has", available()),
        Column("Pools may open", f"{committed()} and {available()}"),
        Column("Taken now", taken()),
        Column("Pods", f"{pods} and {available()}"),
        Column("A pod may open", f"{per_pod} and {available()}"),
        Column(
            "More pods fit",
            room,
            decimals=0,
            steps=((None, "red"), (0, "orange"), (2, "green")),
        ),
    ]
    return build_table(
        "How many more pods fit on each server?",
        "What the server has for its clients (its maximum minus the reserved connections), what "
        "the pools of all pods may open (pool_size + max_overflow of every process, plus the "
        "exporters' own pools), and how many more pods of that size fit. Databases on one server "
        "share its connections: add them up. **Good:** 2 or more, enough for a rollout. **Bad:** "
        'negative: under load the server answers "too many clients". **Do:** use smaller pools, '
        "fewer processes or PgBouncer, or raise the server's limit.",
        columns,
        first=("database", "namespace"),
        sort="More pods fit",
        descending=False,
        no_value=NO_SERVER_LIMIT,
    )


def _show_taken() -> PanelBuilder:
    return build_time_series(
        "How full is each server?",
        "Connections of all clients, not only of these pools, as a share of what the server has "
        "for them. **Good:** below 70 %. **Bad:** 90 % and more: soon nobody can open a new one. "
        "**Do:** see who holds them; idle_in_transaction means transactions that were left open.",
        "percentunit",
        Query(share(taken(), available()), _LEGEND),
        thresholds=FULL,
        no_value=NO_SERVER_LIMIT,
    )


def _show_committed() -> PanelBuilder:
    return build_time_series(
        "Could the pools fill their server?",
        "What the pools of all pods may open, as a share of what the server has. **Good:** below "
        "100 %, with room for the second set of pods during a rollout. **Bad:** above: it works "
        "until all pools are busy at once. **Do:** see the table above.",
        "percentunit",
        Query(share(committed(), available()), _LEGEND),
        thresholds=COMMITTED,
        no_value=NO_SERVER_LIMIT,
    )


def _show_states() -> PanelBuilder:
    states = server("sqlalchemy_database_server_connections")
    return build_time_series(
        "What do the server's connections do?",
        "Connections of all clients by state. **Good:** mostly idle, few active. **Bad:** many "
        "idle_in_transaction: they hold locks and block vacuum. **Do:** find those transactions on "
        "the server (pg_stat_activity) and end them in the application.",
        "short",
        Query(f"max by ({DATABASE}, state) ({states})", "{{database}} · {{state}} · {{job}}"),
        no_value=NO_SERVER_LIMIT,
    )
