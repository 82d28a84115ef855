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
    """Return the row of the server's limit; what belongs to the server is of all pods."""
    lines = [Line(8, [_show_share()]), Line(8, [_show_owners()]), Line(8, [_show_states()])]
    return Row("Server limits", lines)


def _show_share() -> PanelBuilder:
    own = f"sum by ({DATABASE}) ({SELECTED.pool('max_connections')})"
    return build_time_series(
        "What share of the server may these pools take?",
        "pool_size + max_overflow of every process of the selected pools, as a share of what the "
        "server has for its clients. **Good:** what you planned for this application. **Bad:** "
        "near 100 %: nobody else gets in. **Do:** use fewer processes, smaller pools, or "
        "PgBouncer.",
        "percentunit",
        Query(share(own, available()), _LEGEND),
        thresholds=COMMITTED,
        no_value=NO_SERVER_LIMIT,
    )


def _show_owners() -> PanelBuilder:
    owned = f"{committed(f'{DATABASE}, application, pool')} and on ({DATABASE}) {available()}"
    # The exporters' own pools have no application.
    owners = f'label_replace({owned}, "application", "exporter", "application", "")'
    panel = build_time_series(
        "Who may fill the server?",
        'What the pools of all pods may open, by job, application and pool ("exporter" stands for '
        "the pools of its probes), against what the server has. Databases with the same name are "
        "drawn together: if two namespaces have different ones, select one. **Good:** the stack "
        "stays below the line. **Bad:** above: too many clients, once all are busy. **Do:** begin "
        "with the widest band.",
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
    # The mean over pods: the maximum of each state would add up values of different moments.
    states = server("sqlalchemy_database_server_connections")
    panel = build_time_series(
        "How full is the server, and with what?",
        "Connections of all clients by state, against what the server has for them. **Good:** the "
        "stack stays clear of the line. **Bad:** it touches: nobody can open a new one; many "
        "idle_in_transaction: transactions that were left open. **Do:** find them in "
        "pg_stat_activity.",
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
    """Repeat a panel for each database, because a stack of several has no meaning."""
    return panel.repeat("database").repeat_direction("h").max_per_row(3)
