"""Pool detail: how much of the pools is in use."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series, build_timeline, draw_as_line
from grafana.source.pool_detail.selection import BY_POD, NO_LIMIT, NO_POOL, SELECTED
from grafana.source.queries import POOL, Query, at
from grafana.source.thresholds import FULL


def build_saturation_row() -> Row:
    """Return the row of the connections in use."""
    lines = [
        Line(9, [_show_use(), _show_peaks()]),
        Line(8, [_show_pods(), _show_full(), _show_full_processes()]),
    ]
    return Row("Saturation", lines)


def _show_use() -> PanelBuilder:
    def total(metric: str) -> str:
        return f"sum({SELECTED.pool(metric)})"

    panel = build_time_series(
        "How many connections are in use, and how many are there?",
        "At each scrape, summed over all selected pools: in use, idle, and the limit (pool_size + "
        "max_overflow of every process; pools without a limit are not part of it). **Good:** use "
        "stays clear of the limit. **Bad:** they touch: the next caller waits. **Do:** see the row "
        "Use before you raise the limit.",
        "short",
        Query(total("checked_out"), "in use"),
        Query(total("checked_in"), "idle"),
        Query(total("max_connections"), "limit"),
        Query(total("size"), "pool_size"),
        stacked=True,
        no_value=NO_POOL,
    )
    return draw_as_line(draw_as_line(panel, "limit"), "pool_size", "yellow")


def _show_peaks() -> PanelBuilder:
    panel = build_time_series(
        "How high did it go between scrapes?",
        "Highest use within the last 60 seconds, however brief, and the exact mean. For several "
        "processes the peak is the sum of their peaks, an upper bound. **Good:** the peak is below "
        "the limit. **Bad:** peaks at the limit with a low mean: bursts; a high mean: the pool is "
        "too small, or connections are held too long. **Do:** for bursts raise max_overflow, "
        "otherwise see the row Use.",
        "short",
        Query(f"sum({SELECTED.pool('checked_out_peak')})", "peak"),
        Query(f"sum({SELECTED.rate('checked_out_seconds_total')})", "mean"),
        Query(f"sum({SELECTED.pool('max_connections')})", "limit"),
        no_value=NO_POOL,
    )
    return draw_as_line(panel, "limit")


def _show_pods() -> PanelBuilder:
    return build_time_series(
        "Which pods are fullest?",
        "Mean share of the allowed connections in use. **Good:** below 70 %, all similar. **Bad:** "
        "90 % and more. **Do:** if one pod stands out, look for uneven load or a leak there.",
        "percentunit",
        Query(at(SELECTED.utilization(POOL)), BY_POD),
        thresholds=FULL,
        no_value=NO_LIMIT,
    )


def _show_full_processes() -> PanelBuilder:
    return build_time_series(
        "How many processes are full?",
        "Processes in which every allowed connection is checked out at the scrape, by pod, and all "
        "that have the pool. **Good:** 0. **Bad:** one that stays full while others are idle: its "
        "callers wait, and sums hide it. **Do:** find it with app.per_process or the status page, "
        "see the runbook of SQLAlchemyProcessPoolFull.",
        "short",
        Query(at(f"sum by ({POOL}) ({SELECTED.pool('saturated_processes')})"), f"full · {BY_POD}"),
        Query(f"sum({SELECTED.pool('processes')})", "all"),
        no_value=NO_POOL,
    )


def _show_full() -> PanelBuilder:
    return build_timeline(
        "When was no connection left?",
        "Share of the time with every allowed connection checked out, as the mean over a pod's "
        "engines. **Good:** green, 0 %. **Bad:** orange: now and then; red: more than a fifth of "
        "the time. **Do:** compare with the waiting callers in the next row.",
        "percentunit",
        Query(at(SELECTED.saturation()), BY_POD),
        thresholds=((None, "green"), (0.001, "orange"), (0.2, "red")),
        no_value=NO_POOL,
    )
