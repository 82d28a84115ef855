"""Pool detail: whether connections are not returned."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series
from grafana.source.pool_detail.selection import BY_POD, NO_POOL, SELECTED
from grafana.source.queries import POOL, Query, at
from grafana.source.thresholds import HELD, SOME_IS_BAD


def build_leaks_row() -> Row:
    """Return the row of connections that do not come back."""
    return Row("Leaks", [Line(8, [_show_oldest(), _show_floor(), _show_leaked()])])


def _show_oldest() -> PanelBuilder:
    oldest = SELECTED.pool("oldest_checkout_age_seconds")
    return build_time_series(
        "How long has the oldest checkout been out?",
        "**Good:** a saw with low teeth. **Bad:** a ramp: one connection never comes back; above 5 "
        "minutes an alert fires. **Do:** look for sessions without close() or `with`, and for "
        "transactions of the same age on the server.",
        "s",
        Query(at(f"max by ({POOL}) ({oldest})"), BY_POD),
        thresholds=HELD,
        no_value=NO_POOL,
    )


def _show_floor() -> PanelBuilder:
    least = f"min_over_time({SELECTED.pool('checked_out')}[30m])"
    return build_time_series(
        "How many connections are always out?",
        "Minimum number in use within 30 minutes. **Good:** 0, or flat (listeners, long jobs). "
        "**Bad:** rises from hour to hour without falling. A busy pool looks similar, but its "
        "oldest checkout, next to this panel, is young. **Do:** restart to gain time, then look "
        "for the code path that does not return its session.",
        "short",
        Query(at(f"sum by ({POOL}) ({least})"), BY_POD),
        no_value=NO_POOL,
    )


def _show_leaked() -> PanelBuilder:
    leaked = f"increase({SELECTED.pool('leaked_connections_total')}[$__rate_interval])"
    return build_time_series(
        "How many connections did the garbage collector return?",
        "Connections that their callers never returned. **Good:** 0. **Bad:** any: where the same "
        "code keeps a reference, it leaks for longer. **Do:** see whose they were in the row Who "
        "holds the connections; without holders only the log of an asyncio application tells, with "
        "SQLAlchemy's warning about non-checked-in connections.",
        "short",
        Query(at(f"sum by ({POOL}) ({leaked})"), BY_POD),
        bars=True,
        thresholds=SOME_IS_BAD,
        no_value=NO_POOL,
    )
