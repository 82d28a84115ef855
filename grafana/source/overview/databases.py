"""Overview: how fast databases answer, and why they do not."""

from grafana.source.layout import Line, Row
from grafana.source.overview.status import NO_DATABASE
from grafana.source.panels import build_time_series
from grafana.source.queries import DATABASE, Query, database, quantile_of, rate

_LEGEND = "{{database}} · {{job}}"


def build_database_row() -> Row:
    """Returns the row of the databases as the probes see them."""
    buckets = database("probe_duration_seconds_bucket")
    latency = build_time_series(
        "How long does a probe take, and in which phase?",
        "One in 20 probes takes longer: for a connection of the exporter's own pool, for a new "
        "connection, for the query. **Good:** milliseconds, and steady. **Bad:** rising: connect "
        "means network, TLS or a busy server, query a server that is overloaded or locked. "
        "**Do:** compare the pods; if all are slow, look at the server.",
        "s",
        Query(
            quantile_of(0.95, buckets, f"{DATABASE}, phase"), "{{database}} · {{phase}} · {{job}}"
        ),
        no_value="no probe succeeded",
    )
    errors = f"sum by ({DATABASE}, reason) ({rate(database('probe_errors_total'))})"
    reasons = build_time_series(
        "Why do probes fail?",
        "Failed probes a minute by reason. **Good:** none. **Bad:** refused or timeout: server or "
        "network; auth: the password was rotated; too_many_connections: the server is full. "
        "**Do:** look the reason up in docs/metrics.md.",
        "cpm",
        Query(f"60 * ({errors} > 0)", "{{database}} · {{reason}} · {{job}}"),
        bars=True,
        no_value="no probe fails",
    )
    last = f"max by ({DATABASE}) ({database('probe_last_success_timestamp_seconds')})"
    age = build_time_series(
        "When did each database last answer?",
        "Time since any pod's last successful probe. **Good:** up to probe.interval (15 s unless "
        "set). **Bad:** growing: down since then, or the exporter hangs. **Do:** see the reason "
        "beside this.",
        "s",
        Query(f"time() - {last}", _LEGEND),
        thresholds=((None, "green"), (60, "orange"), (120, "red")),
        no_value=f"none has answered yet, or {NO_DATABASE}",
    )
    return Row("Database", [Line(9, [latency, reasons, age])])
