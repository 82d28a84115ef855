"""Overview: which pools are full, and for how much of the time."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series
from grafana.source.queries import POOL, Query, Selectors, top
from grafana.source.shared import NO_APP_POOL
from grafana.source.thresholds import FIFTH_IS_BAD, FULL

_APP = Selectors("app")
_LEGEND = "{{application}} · {{pool}} · {{at}}"


def build_saturation_row() -> Row:
    """Return the row of the fullest pools."""
    return Row("Saturation", [Line(9, [_show_use(), _show_full()])])


def _show_use() -> PanelBuilder:
    return build_time_series(
        "How full were the fullest pools, and when?",
        "Mean share of the allowed connections (pool_size + max_overflow) in use, the ten highest. "
        "**Good:** below 70 %. **Bad:** 90 % and more: the next burst has to wait. **Do:** open "
        "the pool's details; look for long holds or a leak first, then at its size.",
        "percentunit",
        Query(top(10, _APP.utilization(POOL)), _LEGEND),
        thresholds=FULL,
        no_value=NO_APP_POOL,
    )


def _show_full() -> PanelBuilder:
    return build_time_series(
        "Which pools had no connection left, for how much of the time?",
        "Share of the time with every allowed connection checked out, as the mean over a pod's "
        "engines; the ten highest. **Good:** 0. **Bad:** above 20 %, with callers that wait. "
        "**Do:** open the pool's details. One full process among idle ones means that work is "
        "spread unevenly.",
        "percentunit",
        Query(top(10, _APP.saturation()), _LEGEND),
        thresholds=FIFTH_IS_BAD,
        no_value=NO_APP_POOL,
    )
