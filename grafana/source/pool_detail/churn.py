"""Pool detail: why connections come and go."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series
from grafana.source.pool_detail.selection import BY_POD, NO_POOL, SELECTED, list_quantiles
from grafana.source.queries import POOL, Query, at, share
from grafana.source.thresholds import FIFTH_IS_BAD


def build_churn_row() -> Row:
    """Return the row of opened and closed connections."""
    lines = [
        Line(8, [_show_opened(), _show_closed(), _show_connects()]),
        Line(8, [_show_reuse(), _show_overflow(), _show_invalidations()]),
    ]
    return Row("Churn", lines)


def _show_opened() -> PanelBuilder:
    return build_time_series(
        "How often are connections opened?",
        "Connections that the driver opened per second, failed attempts, and engines put to use. "
        "**Good:** nearly 0 once the pool is warm. **Bad:** more than 1 per second all the time, "
        "or failures; engines: something creates one for each request. **Do:** see next to this "
        "panel why connections were closed; for failures see the row Database; create one engine "
        "for each process.",
        "cps",
        Query(f"sum({SELECTED.rate('connections_opened_total')})", "opened"),
        Query(f"sum({SELECTED.rate('connection_failures_total')})", "failed"),
        Query(f"sum({SELECTED.rate('engines_created_total')})", "engines"),
        no_value=NO_POOL,
    )


def _show_closed() -> PanelBuilder:
    return build_time_series(
        "Why are connections closed?",
        "Closed connections per second by reason. **Good:** few; recycle now and then. **Bad:** "
        "overflow: raise pool_size to the mean in use; pre_ping, invalidated: something cuts "
        "connections (firewall, PgBouncer, server): set pool_recycle below its limit; leaked: see "
        "the row Leaks. **Do:** look the reason up in docs/metrics.md.",
        "cps",
        Query(f"sum by (reason) ({SELECTED.rate('connections_closed_total')})", "{{reason}}"),
        bars=True,
        no_value=NO_POOL,
    )


def _show_connects() -> PanelBuilder:
    return build_time_series(
        "How long does it take to open a connection?",
        "The driver's connect: network, TLS and login. **Good:** below 50 ms. **Bad:** above 0.5 "
        "s: every new connection makes a caller wait. **Do:** look at DNS, TLS and the server's "
        "load; keep connections instead of opening new ones.",
        "s",
        *list_quantiles("connect_duration_seconds"),
        no_value="no connection was opened",
    )


def _show_reuse() -> PanelBuilder:
    opened = f"sum by ({POOL}) ({SELECTED.rate('connections_opened_total')})"
    checkouts = f"sum by ({POOL}) ({SELECTED.rate('checkouts_total')})"
    return build_time_series(
        "How many checkouts need a new connection?",
        "Opened connections as a share of checkouts. **Good:** near 0 %. **Bad:** above 20 %: the "
        "pool keeps fewer connections than needed; 100 %: a NullPool. **Do:** move connections "
        "from max_overflow to pool_size.",
        "percentunit",
        Query(at(share(opened, checkouts)), BY_POD),
        thresholds=FIFTH_IS_BAD,
        no_value="no checkout was seen",
    )


def _show_overflow() -> PanelBuilder:
    return build_time_series(
        "How many connections are beyond pool_size?",
        "Overflow connections are closed when they are returned. **Good:** 0, or in bursts. "
        "**Bad:** all the time: each of them is opened from scratch. **Do:** move connections from "
        "max_overflow to pool_size; the limit stays.",
        "short",
        Query(at(f"sum by ({POOL}) ({SELECTED.pool('overflow')})"), BY_POD),
        no_value="these pools have no pool_size, or none is seen",
    )


def _show_invalidations() -> PanelBuilder:
    return build_time_series(
        "How often are connections found broken?",
        "Connections marked unusable per second: hard (closed at once), soft (at the next "
        "checkout). **Good:** 0. **Bad:** a burst: server or network went away; steady: something "
        "cuts idle connections. **Do:** set pool_pre_ping, and pool_recycle below the idle timeout "
        "of what cuts them.",
        "cps",
        Query(f"sum by (kind) ({SELECTED.rate('invalidations_total')})", "{{kind}}"),
        bars=True,
        no_value=NO_POOL,
    )
