"""Pool detail: what the connections are used for how long, and what size would do."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series, draw_as_line
from grafana.source.pool_detail.selection import BY_POD, NO_POOL, SELECTED, list_quantiles
from grafana.source.queries import POOL, Query, at
from grafana.source.tables import Column, build_table

_SETTINGS = "namespace, job, application, pool, database"


def build_use_row() -> Row:
    """Returns the row of the demand."""
    lines = [Line(9, [_show_checkouts(), _show_holds(), _show_demand()]), Line(6, [_list_sizes()])]
    return Row("Use", lines)


def _show_checkouts() -> PanelBuilder:
    checkouts = f"sum by ({POOL}) ({SELECTED.rate('checkouts_total')})"
    return build_time_series(
        "How often are connections checked out?",
        "Successful checkouts a second. **Good:** follows the traffic, alike in all pods. **Bad:** "
        "many for each request: every checkout costs a reset, with pre_ping a round trip. **Do:** "
        "one session for each request.",
        "ops",
        Query(at(checkouts), BY_POD),
        stacked=True,
        no_value=NO_POOL,
    )


def _show_holds() -> PanelBuilder:
    return build_time_series(
        "How long is a connection held?",
        "From checkout to return. **Good:** as long as the queries take. **Bad:** much longer: the "
        "session is open during calls to other services, rendering or sleeping. **Do:** shorten "
        "that first: half the hold time is worth twice the pool.",
        "s",
        *list_quantiles("hold_duration_seconds"),
        no_value="no connection was returned",
    )


def _show_demand() -> PanelBuilder:
    panel = build_time_series(
        "Is the demand more than the pools have?",
        "Little's law: the mean number of connections in use is checkouts/s x hold time, exact "
        "between scrapes as well. With those that wait it is the demand. **Good:** below "
        "pool_size. **Bad:** near the limit; above it the queue grows until callers give up. "
        "**Do:** shorten holds, then raise the limit: the table below says to what.",
        "short",
        Query(f"sum({SELECTED.rate('checked_out_seconds_total')})", "in use"),
        Query(f"sum({SELECTED.rate('pending_seconds_total')})", "waiting"),
        Query(f"sum({SELECTED.pool('max_connections')})", "limit"),
        Query(f"sum({SELECTED.pool('size')})", "pool_size"),
        stacked=True,
        no_value=NO_POOL,
    )
    return draw_as_line(draw_as_line(panel, "limit"), "pool_size", "yellow")


def _list_sizes() -> PanelBuilder:
    def per_process(expr: str) -> str:
        return f"({expr}) / {processes}"

    def total(metric: str) -> str:
        return f"sum by ({_SETTINGS}) ({SELECTED.pool(metric)})"

    processes = SELECTED.processes(_SETTINGS)
    demand = f"quantile_over_time(0.95, ({SELECTED.demand(_SETTINGS)})[$__range:])"
    columns = [
        Column("Processes", processes),
        Column("Demand", per_process(demand), decimals=2),
        Column("pool_size", per_process(total("size")), decimals=0),
        Column("Limit", per_process(total("max_connections")), decimals=0),
        Column("Would do", _staff(per_process(demand)), decimals=0),
    ]
    return build_table(
        "What size would do? (for one process)",
        "Settings are for each process, so all is for one. Demand: what the callers of a process "
        "had or waited for, 95 % of the time shown. Would do: demand + 2 x its root + 1, which "
        "lets about 1 in 40 wait, or fewer (Erlang C), as pool_size + max_overflow. **Good:** the "
        "limit is that or more. **Bad:** less. **Do:** set it, unless the holds can be shortened "
        "or the server is full (row Server limits). A time of trouble asks for too much: choose "
        "normal hours. No more helps than the server can work on at once: about 2 x its cores.",
        columns,
        first=("pool", "application", "database", "namespace"),
        sort="Demand",
        no_value="not known in the first minutes, or no such pool is seen",
    )


def _staff(demand: str) -> str:
    return f"ceil({demand} + 2 * sqrt({demand})) + 1"
