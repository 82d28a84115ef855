"""Pool detail: what part of the server these pools may take."""

from grafana_foundation_sdk.builders import timeseries

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series, draw_as_line
from grafana.source.pool_detail.selection import SELECTED
from grafana.source.queries import DATABASE, Query, available, committed, server, share
from grafana.source.shared import NO_SERVER_LIMIT
from grafana.source.thresholds import COMMITTED

_LEGEND = "{{database}} · {{job}}"


def build_server_limits_row() -> Row:
    """Returns the row of the server's limit; what belongs to the server is of all pods."""
    lines = [Line(8, [_show_share()]), Line(8, [_show_owners()]), Line(8, [_show_states()])]
    return Row("Server limits", lines)


def _show_share() -> PanelBuilder:
    own = f"sum by ({DATABASE}) ({SELECTED.pool('max_connections')})"
    return build_time_series(
        "What share of the server may these pools take?",
        "pool_size + max_overflow of every process of the selected pools against what the server "
        "has for its clients. **Good:** what you planned for this application. **Bad:** near "
        "100 %: nobody else gets in. **Do:** fewer processes or smaller pools, or PgBouncer.",
        "percentunit",
        Query(share(own, available()), _LEGEND),
        thresholds=COMMITTED,
        no_value=NO_SERVER_LIMIT,
    )


def _show_owners() -> PanelBuilder:
    owned = f"{committed(f'{DATABASE}, application, pool')} and on ({DATABASE}) {available()}"
    # Whose pools have no application.
    owners = f'label_replace({owned}, "application", "exporter", "application", "")'
    panel = build_time_series(
        "Who may fill the server?",
        "What the pools of all pods may open, by job, application and pool (exporter: the pools of "
        "its probes), and what the server has. All that call a database alike: where those of two "
        "namespaces are two, choose one. **Good:** the stack stays below the line. **Bad:** above: "
        "too many clients, once all are busy. **Do:** begin with the widest.",
        "short",
        Query(owners, "{{application}} · {{pool}} · {{job}} {{namespace}}"),
        Query(
            f"max by (namespace, database) ({available()})", "limit of {{database}} {{namespace}}"
        ),
        stacked=True,
        no_value=NO_SERVER_LIMIT,
    )
    return _repeat(draw_as_line(panel, "limit of .*"))


def _show_states() -> PanelBuilder:
    # The mean of what pods saw: the highest of each state, each at another moment, is too much.
    states = server("sqlalchemy_database_server_connections")
    panel = build_time_series(
        "How full is the server, and with what?",
        "Connections of all clients by state, and what the server has for them. **Good:** the "
        "stack stays clear of the line. **Bad:** it touches: nobody can open a new one; many "
        "idle_in_transaction: forgotten transactions. **Do:** find them in pg_stat_activity.",
        "short",
        Query(
            f"avg by (namespace, database, state) ({states})",
            "{{state}} · {{database}} {{namespace}}",
        ),
        Query(
            f"max by (namespace, database) ({available()})", "limit of {{database}} {{namespace}}"
        ),
        stacked=True,
        no_value=NO_SERVER_LIMIT,
    )
    return _repeat(draw_as_line(panel, "limit of .*"))


def _repeat(panel: timeseries.Panel) -> timeseries.Panel:
    """Returns a panel that there is of each database: a stack of several means nothing."""
    return panel.repeat("database").repeat_direction("h").max_per_row(3)
