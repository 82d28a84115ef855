"""Pool detail: who waits for a connection, and how long."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_heatmap, build_time_series
from grafana.source.pool_detail.selection import NO_POOL, SELECTED, list_quantiles
from grafana.source.queries import POD, Query, at, distribution_of
from grafana.source.thresholds import WAITS


def build_wait_row() -> Row:
    """Return the row of the waiting callers."""
    lines = [
        Line(9, [_map_checkouts(), _show_checkouts()]),
        Line(8, [_show_waiters(), _show_blocked(), _show_failures()]),
    ]
    return Row("Wait", lines)


def _map_checkouts() -> PanelBuilder:
    return build_heatmap(
        "How long do checkouts take?",
        "Checkouts per second by duration: waiting, connecting and pre-ping together. **Good:** "
        "one dark band far below a millisecond. **Bad:** a second band near pool_timeout (30 s by "
        "default): callers that wait. **Do:** if there is a band at the duration of a connect, see "
        "the row Churn.",
        "s",
        distribution_of(SELECTED.pool("checkout_duration_seconds")),
        no_value=NO_POOL,
    )


def _show_checkouts() -> PanelBuilder:
    return build_time_series(
        "How long does a caller wait for a connection?",
        "50th, 95th and 99th percentile of the checkout time. **Good:** milliseconds. **Bad:** p95 "
        "above 0.5 s. **Do:** compare with the blocked callers below: if nobody is blocked, new "
        "connections or pre-ping are slow, see Churn and Database.",
        "s",
        *list_quantiles("checkout_duration_seconds"),
        thresholds=WAITS,
        no_value="no checkout was seen",
    )


def _show_waiters() -> PanelBuilder:
    return build_time_series(
        "Who waits for a connection?",
        "Callers that wait for an exhausted pool, by pod: at each scrape, the peak within the last "
        "60 seconds, and the exact mean over all pods. **Good:** 0. **Bad:** anything that lasts. "
        "**Do:** see the row Who holds the connections.",
        "short",
        Query(at(f"sum by ({POD}) ({SELECTED.pool('pending_checkouts')})"), "now · {{at}}"),
        Query(at(f"sum by ({POD}) ({SELECTED.pool('pending_checkouts_peak')})"), "peak · {{at}}"),
        Query(f"sum({SELECTED.rate('pending_seconds_total')})", "mean of all"),
        no_value=NO_POOL,
    )


def _show_blocked() -> PanelBuilder:
    return build_time_series(
        "How long do those wait that have to?",
        "Time spent waiting for an exhausted pool, by the callers that had to wait. **Good:** "
        "none. **Bad:** near pool_timeout: they are about to give up. **Do:** set a shorter "
        "pool_timeout, which fails faster and helps an overloaded application to recover.",
        "s",
        *list_quantiles("wait_duration_seconds"),
        no_value="nobody has had to wait",
    )


def _show_failures() -> PanelBuilder:
    failures = SELECTED.rate("checkout_failures_total")
    return build_time_series(
        "Why do checkouts fail?",
        "Failed checkouts per second: timeout of the pool, cancelled by the caller, error of the "
        "database. **Good:** 0. **Bad:** timeout: the pool is exhausted; error: the database "
        "refuses; cancelled: the callers' timeouts are shorter than the pool's. **Do:** for "
        "timeout see who holds the connections, for error the row Database.",
        "cps",
        Query(f"sum by (reason) ({failures})", "{{reason}}"),
        bars=True,
        no_value=NO_POOL,
    )
