"""Overview: where callers wait, and where checkouts fail."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series
from grafana.source.queries import POOL, Query, Selectors, rate, top
from grafana.source.shared import NO_APP_POOL
from grafana.source.thresholds import SOME_IS_BAD, WAITS

_APP = Selectors("app")
_LEGEND = "{{application}} · {{pool}} · {{at}}"


def build_wait_row() -> Row:
    """Return the row of the slowest pools."""
    return Row("Wait", [Line(9, [_show_slowest(), _show_failures()])])


def _show_slowest() -> PanelBuilder:
    return build_time_series(
        "In which pools do callers wait longest for a connection?",
        "95th percentile of the checkout time (waiting, connecting and pre-ping together), the ten "
        "highest. **Good:** milliseconds. **Bad:** above 0.5 s, which every request pays in "
        "addition. **Do:** open the pool's details and see whether callers wait or connect.",
        "s",
        Query(top(10, _APP.quantile(0.95, "checkout_duration_seconds", POOL)), _LEGEND),
        thresholds=WAITS,
        no_value="no checkout was seen",
    )


def _show_failures() -> PanelBuilder:
    failures = rate(_APP.failures())
    return build_time_series(
        "In which pools do checkouts fail?",
        "Checkouts per second that pool_timeout, their caller or an error ended, the ten highest. "
        "Each is an error in the application. **Good:** 0. **Bad:** anything else. **Do:** open "
        "the pool's details for the reason. For timeouts, find out what holds the connections "
        "before you enlarge the pool.",
        "cps",
        Query(top(10, f"sum by ({POOL}) ({failures})"), _LEGEND),
        thresholds=SOME_IS_BAD,
        no_value=NO_APP_POOL,
    )
