"""Pool detail: how often and how long connections are used, and what size would do."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series, draw_as_line
from grafana.source.pool_detail.selection import BY_POD, NO_POOL, SELECTED, list_quantiles
from grafana.source.queries import POOL, Query, at
from grafana.source.tables import Column, build_table

_SETTINGS = "namespace, job, application, pool, database"


def build_use_row() -> Row:
    """Return the row of the demand."""
    lines = [
        Line(9, [_show_checkouts(), _show_holds(), _show_demand()]),
        Line(6, [_list_sizes()]),
        Line(6, [_list_settings()]),
    ]
    return Row("Use", lines)


def _show_checkouts() -> PanelBuilder:
    checkouts = f"sum by ({POOL}) ({SELECTED.rate('checkouts_total')})"
    return build_time_series(
        "How often are connections checked out?",
        "Successful checkouts per second. **Good:** follows the traffic, similar in all pods. "
        "**Bad:** many for each request: every checkout costs a reset, and with pre_ping a round "
        "trip. **Do:** use one session for each request.",
        "ops",
        Query(at(checkouts), BY_POD),
        stacked=True,
        no_value=NO_POOL,
    )


def _show_holds() -> PanelBuilder:
    return build_time_series(
        "How long is a connection held?",
        "From checkout to return. **Good:** as long as the queries take. **Bad:** much longer: the "
        "session stays open during calls to other services, rendering or sleeping. **Do:** shorten "
        "that first: halving the hold time is worth twice the pool.",
        "s",
        *list_quantiles("hold_duration_seconds"),
        no_value="no connection was returned",
    )


def _show_demand() -> PanelBuilder:
    panel = build_time_series(
        "Is the demand more than the pools have?",
        "Little's law: the mean number of connections in use is checkouts/s x hold time, exact "
        "between scrapes too. In use plus waiting is the demand. **Good:** below pool_size. "
        "**Bad:** near the limit; above it, the queue grows until callers give up. **Do:** shorten "
        "holds, then raise the limit to what the table below says.",
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
    def per_engine(expr: str) -> str:
        return f"({expr}) / {engines}"

    def total(metric: str) -> str:
        return f"sum by ({_SETTINGS}) ({SELECTED.pool(metric)})"

    engines = SELECTED.engines(_SETTINGS)
    demand = f"quantile_over_time(0.95, ({SELECTED.demand(_SETTINGS)})[$__range:])"
    columns = [
        Column("Engines", engines),
        Column("Demand", per_engine(demand), decimals=2),
        Column("pool_size", per_engine(total("size")), decimals=0),
        Column("Limit", per_engine(total("max_connections")), decimals=0),
        Column("Would do", _staff(per_engine(demand)), decimals=0),
    ]
    return build_table(
        "What size would do? (for one engine)",
        "Pool settings apply to each engine, and most processes have one, so all numbers here are "
        "per engine. Demand: the "
        "connections that an engine's callers had or waited for, during 95 % of the time shown. "
        "Would do: demand + 2 x its square root + 1, as pool_size + max_overflow. With that about "
        "1 caller in 40 waits, or fewer (Erlang C). **Good:** the limit is at least that. **Bad:** "
        "it is less. **Do:** set it, unless you can shorten the holds, or the server is full (row "
        "Server limits). Choose a time range of normal hours: during an incident the demand is too "
        "high. More connections than the server can work on at once, about 2 x its cores, do not "
        "help.",
        columns,
        first=("pool", "application", "database", "namespace"),
        sort="Demand",
        no_value="unknown in the first minutes, or no such pool is seen",
    )


def _list_settings() -> PanelBuilder:
    setup = (
        "pool_class, timeout, recycle, pre_ping, use_lifo, reset_on_return, dialect, driver, "
        "sqlalchemy_version, agent_version"
    )
    pods = f"count by (namespace, job, application, pool, {setup}) ({SELECTED.pool('info')})"
    return build_table(
        "How is each pool set up?",
        "The settings as create_engine() got them, times in seconds, and the number of pods. "
        "**Good:** one line for each pool: all pods have the same. **Bad:** recycle none and "
        "pre-ping false behind a proxy or firewall that cuts idle connections; a timeout longer "
        "than users wait. **Do:** see docs/metrics.md, and How to size a pool in docs/runbooks.md.",
        [Column("Pods", pods)],
        first=("pool", "application", "namespace"),
        sort="Pool",
        descending=False,
        no_value="no such pool is seen, or its processes record with an earlier version",
    )


def _staff(demand: str) -> str:
    return f"ceil({demand} + 2 * sqrt({demand})) + 1"
