"""Pool detail, first row: how the selected pools do now."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_stat
from grafana.source.pool_detail.selection import AFFECTED, NO_DATABASE, NO_LIMIT, NO_POOL, SELECTED
from grafana.source.queries import Query, database
from grafana.source.shared import NO_APP_POOL, build_alert_table, build_pool_table
from grafana.source.thresholds import FULL, HELD, NONE_IS_GOOD, UP, WAITERS, WAITS, build_names


def build_status_row() -> Row:
    """Return the first row."""
    pods = build_pool_table(
        "Which pods have this pool, and how do they do?",
        "One row for each pool of each pod, the fullest first; a name narrows the page to it. "
        "**Good:** all similar. **Bad:** one pod stands out: uneven load, or a leak there. **Do:** "
        "narrow the page to it; restarting that pod gains time.",
        SELECTED,
        no_value=NO_APP_POOL,
        origin="$origin",
    )
    stats = (
        _show_utilization(),
        _show_waiters(),
        _show_wait(),
        _show_failures(),
        _show_oldest(),
        _show_database(),
    )
    return Row("Status", [Line(4, stats), Line(7, [pods]), Line(7, [build_alert_table(AFFECTED)])])


def _show_utilization() -> PanelBuilder:
    return build_stat(
        "How full are the pools?",
        "Mean share of the allowed connections in use. **Good:** below 70 %. **Bad:** 90 % and "
        "more. **Do:** see in the rows below who holds the connections, and whether they are "
        "busy.",
        "percentunit",
        Query(SELECTED.utilization("")),
        thresholds=FULL,
        no_value=NO_LIMIT,
    )


def _show_waiters() -> PanelBuilder:
    return build_stat(
        "How many callers wait now?",
        "Callers that waited for an exhausted pool at the last scrape. **Good:** 0. **Bad:** 1 or "
        "more, again and again. **Do:** see the row Who holds the connections.",
        "short",
        Query(f"sum({SELECTED.pool('pending_checkouts')})"),
        thresholds=WAITERS,
        no_value=NO_POOL,
    )


def _show_wait() -> PanelBuilder:
    return build_stat(
        "How long does a checkout take at most, in 95 of 100 cases?",
        "From requesting a connection to getting it. **Good:** milliseconds. **Bad:** above 0.5 s. "
        "**Do:** see the row Wait: if callers do not wait, connecting or pre-ping is slow.",
        "s",
        Query(SELECTED.quantile(0.95, "checkout_duration_seconds")),
        thresholds=WAITS,
        no_value="no checkout was seen",
    )


def _show_failures() -> PanelBuilder:
    return build_stat(
        "How many checkouts failed? (in the time shown)",
        "Checkouts that pool_timeout, their caller or an error ended. Each is an error in the "
        "application. **Good:** 0. **Bad:** 1 or more. **Do:** see why and since when in the row "
        "Wait.",
        "short",
        Query(f"round(sum(increase({SELECTED.failures()}[$__range])))"),
        thresholds=NONE_IS_GOOD,
        no_value=NO_POOL,
    )


def _show_oldest() -> PanelBuilder:
    return build_stat(
        "How old is the oldest checkout?",
        "How long the longest current checkout has lasted. **Good:** as long as your longest "
        "request. **Bad:** minutes: the connection was never returned, or a transaction has been "
        "open all that time. **Do:** see the row Leaks.",
        "s",
        Query(f"max({SELECTED.pool('oldest_checkout_age_seconds')})"),
        thresholds=HELD,
        no_value=NO_POOL,
    )


def _show_database() -> PanelBuilder:
    return build_stat(
        "Does the database answer?",
        "Share of pods whose last probe succeeded. **Good:** yes. **Bad:** no; or only some: "
        "network or secrets of the others. **Do:** see the row Database for the reason.",
        "percentunit",
        Query(f"avg({database('up')})"),
        thresholds=UP,
        no_value=NO_DATABASE,
    ).mappings([build_names({"0": ("no", "red"), "1": ("yes", "green")})])
