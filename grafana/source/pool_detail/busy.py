"""Pool detail: whether connections in use execute statements, or wait for the application."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series, draw_as_line
from grafana.source.pool_detail.selection import BY_POD, NO_HOLDERS, NO_POOL, SELECTED
from grafana.source.queries import POOL, Query, at, share


def build_busy_row() -> Row:
    """Return the row of the connections that execute statements, and of the others."""
    lines = [
        Line(9, [_show_busy(), _show_pods()]),
        Line(9, [_show_idle_holders(), _show_busy_holders()]),
    ]
    return Row("Busy, or idle in hand", lines)


def _show_busy() -> PanelBuilder:
    busy = f"sum({SELECTED.rate('busy_seconds_total')})"
    in_hand = f"sum({SELECTED.rate('checked_out_seconds_total')})"
    panel = build_time_series(
        "Are connections busy, or idle in hand?",
        "Mean number of checked-out connections that execute a statement, and of the others. "
        "**Good:** mostly busy. **Bad:** idle in hand: the application keeps connections while it "
        "does something else, and a larger pool would only hide it. Busy and growing: the database "
        "is slow. **Do:** idle: return connections before other calls; busy: look at the slowest "
        "queries.",
        "short",
        Query(busy, "busy"),
        Query(f"{in_hand} - {busy}", "idle in hand"),
        Query(f"sum({SELECTED.pool('busy_connections')})", "busy now"),
        stacked=True,
        no_value=NO_POOL,
    )
    return draw_as_line(panel, "busy now")


def _show_pods() -> PanelBuilder:
    busy = f"sum by ({POOL}) ({SELECTED.rate('busy_seconds_total')})"
    in_hand = f"sum by ({POOL}) ({SELECTED.rate('checked_out_seconds_total')})"
    return build_time_series(
        "For how much of the time in hand are connections busy?",
        "Time in which they execute statements, as a share of the time that they are checked out. "
        "**Good:** above 50 %, all pods similar. **Bad:** below 20 % in a full pool, for which an "
        "alert fires. **Do:** see below who keeps them.",
        "percentunit",
        Query(at(share(busy, in_hand)), BY_POD),
        thresholds=((None, "red"), (0.2, "orange"), (0.5, "green")),
        no_value=NO_POOL,
    )


def _show_idle_holders() -> PanelBuilder:
    busy = f"sum by (holder) ({SELECTED.rate('held_busy_seconds_total')})"
    held = f"sum by (holder) ({SELECTED.rate('held_seconds_total')})"
    return build_time_series(
        "Who keeps connections idle?",
        "The mean number of connections that each holder has without executing a statement. "
        "**Good:** little, compared with the panel beside it. **Bad:** a wide band: that holder "
        "calls other services, computes or streams with a connection in hand. **Do:** return it "
        "before that.",
        "short",
        Query(f"{held} - {busy} > 0", "{{holder}}"),
        stacked=True,
        no_value=NO_HOLDERS,
    )


def _show_busy_holders() -> PanelBuilder:
    return build_time_series(
        "Who keeps the database busy?",
        "The mean number of connections on which each holder executes a statement. **Good:** as "
        "wide as its share of the work. **Bad:** a band that grows with the same traffic: its "
        "queries have become slow. **Do:** look at its queries, their plans and their locks.",
        "short",
        Query(
            f"sum by (holder) ({SELECTED.rate('held_busy_seconds_total')}) > 0",
            "{{holder}}",
        ),
        stacked=True,
        no_value=NO_HOLDERS,
    )
