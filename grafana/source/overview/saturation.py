"""Overview: which pools are full, and which databases were down when."""

from grafana.source.layout import Line, Row
from grafana.source.overview.status import NO_DATABASE
from grafana.source.panels import (
    FULL,
    build_names,
    build_range_name,
    build_time_series,
    build_timeline,
)
from grafana.source.queries import DATABASE, POOL, Query, Selectors, database, top
from grafana.source.shared import NO_APP_POOL

_APP = Selectors("app")
_LEGEND = "{{pool}} · {{at}}"
# Of several pods, the share that reach it.
UP_NAMES = (
    build_names({"0": ("down", "red"), "1": ("up", "green")}),
    build_range_name(0.001, 0.999, "some pods", "orange"),
)


def build_saturation_row() -> Row:
    """Returns the row of the fullest pools."""
    used = build_time_series(
        "Which pools are fullest?",
        "Mean share of the allowed connections (pool_size + max_overflow) in use, ten highest. "
        "**Good:** below 70 %. **Bad:** 90 % and more: the next burst has to wait. **Do:** open "
        "the pool's details: long holds or a leak first, then its size.",
        "percentunit",
        Query(top(10, _APP.utilization(POOL)), _LEGEND),
        thresholds=FULL,
        no_value=NO_APP_POOL,
    )
    full = build_time_series(
        "Which pools had no connection left, for how much of the time?",
        "Share of the time with every allowed connection out, the mean of a pod's processes, ten "
        "highest. **Good:** 0. **Bad:** above 20 %, with callers that wait. **Do:** as above; one "
        "full process among idle ones means that work is spread unevenly.",
        "percentunit",
        Query(top(10, _APP.saturation()), _LEGEND),
        thresholds=((None, "green"), (0.2, "red")),
        no_value=NO_APP_POOL,
    )
    up = build_timeline(
        "Which databases were up, and when?",
        "Share of the pods that reach each database. **Good:** up throughout. **Bad:** down; some "
        "pods: the others do not. **Do:** compare with the errors in the row "
        "Database.",
        "percentunit",
        Query(f"avg by ({DATABASE}) ({database('up')})", "{{database}} · {{job}}"),
        mappings=UP_NAMES,
        no_value=NO_DATABASE,
    )
    return Row("Saturation", [Line(9, [used, full, up])])
