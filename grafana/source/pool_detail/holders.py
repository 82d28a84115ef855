"""Pool detail: who has the connections."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series
from grafana.source.pool_detail.selection import NO_HOLDERS, SELECTED
from grafana.source.queries import Query, share
from grafana.source.tables import Column, build_table


def build_holders_row() -> Row:
    """Return the row of the holders."""
    lines = [
        Line(9, [_show_held(), _show_duration()]),
        Line(8, [_list_holders()]),
        Line(8, [_show_overdue(), _show_leaked()]),
    ]
    return Row("Who holds the connections", lines)


def _show_held() -> PanelBuilder:
    return build_time_series(
        "Who holds the connections?",
        "The mean number of connections in use by holder: a name that the application gives, the "
        "endpoint or task, or the function that asked for the connection. **Good:** spread as the "
        "traffic is. **Bad:** one holder has most of a full pool. **Do:** see next to this panel "
        "whether it is frequent or slow, and in the row below whether its connections are busy.",
        "short",
        Query(f"sum by (holder) ({SELECTED.rate('held_seconds_total')}) > 0", "{{holder}}"),
        stacked=True,
        no_value=NO_HOLDERS,
    )


def _show_duration() -> PanelBuilder:
    held = f"sum by (holder) ({SELECTED.rate('held_seconds_total')})"
    holds = f"sum by (holder) ({SELECTED.rate('holds_total')})"
    return build_time_series(
        "How long does each holder keep a connection?",
        "Seconds for each checkout, on average. **Good:** as long as its queries take, and as "
        "yesterday. **Bad:** one that has risen, or is far above the others. **Do:** end its "
        "session before it calls other services or streams; if its connections are busy, look at "
        "its queries.",
        "s",
        Query(share(held, holds), "{{holder}}"),
        no_value=NO_HOLDERS,
    )


def _list_holders() -> PanelBuilder:
    def total(expr: str) -> str:
        return f"sum by (holder, pool, application, namespace, job) ({expr})"

    held = total(SELECTED.rate("held_seconds_total"))
    holds = total(SELECTED.rate("holds_total"))
    busy = total(SELECTED.rate("held_busy_seconds_total"))
    columns = [
        Column("Now", total(SELECTED.pool("held_connections"))),
        Column("Overdue", f"{total(SELECTED.pool('overdue_connections'))} > 0"),
        Column("Mean", held, decimals=2),
        Column("Checkouts", holds, unit="ops"),
        Column("Each", share(held, holds), unit="s"),
        Column("Busy", share(busy, held), unit="percentunit", decimals=0),
    ]
    return build_table(
        "How often and how long does each holder keep one?",
        "Connections that the holder has now, those of them for longer than app.leak_threshold, "
        "and on average; how often it takes one, for how long each time, and how much of that the "
        "database works. **Good:** Each is as long as the queries take. **Bad:** one that is long "
        "and not busy: the holder calls another service or streams a response meanwhile; or any "
        "that is overdue, probably never returned. **Do:** return the connection before that; the "
        "status page names the line of what is overdue.",
        columns,
        first=("holder", "pool", "application", "namespace"),
        sort="Mean",
        no_value=NO_HOLDERS,
    )


def _show_overdue() -> PanelBuilder:
    overdue = f"sum by (holder) ({SELECTED.pool('overdue_connections')}) > 0"
    return build_time_series(
        "Who keeps connections for too long?",
        "Connections held for longer than app.leak_threshold (5 minutes by default), by holder, "
        "or unknown where holders are off. **Good:** none. **Bad:** any; a staircase: each call "
        "keeps one more. **Do:** find process, thread and function on the exporter's status page.",
        "short",
        Query(f'label_replace({overdue}, "holder", "unknown", "holder", "")', "{{holder}}"),
        no_value="no connection is overdue",
    )


def _show_leaked() -> PanelBuilder:
    leaked = f"increase({SELECTED.pool('leaks_total')}[$__rate_interval])"
    return build_time_series(
        "Whose connections did the garbage collector return?",
        "Connections that their holder never returned. **Good:** none. **Bad:** any: where the "
        "same code keeps a reference, nothing returns them. **Do:** use `with` in that endpoint, "
        "task or function.",
        "short",
        Query(f"sum by (holder) ({leaked}) > 0", "{{holder}}"),
        bars=True,
        no_value="no holder lost one, or there are no holders",
    )
