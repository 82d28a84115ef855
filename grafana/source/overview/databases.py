"""Overview: how fast databases answer, or why they do not."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.overview.status import NO_DATABASE
from grafana.source.panels import build_time_series, build_timeline
from grafana.source.queries import DATABASE, Query, database, quantile_of, rate
from grafana.source.shared import UP_NAMES

_LEGEND = "{{database}} · {{job}}"


def build_database_row() -> Row:
    """Return the row of the databases as the probes see them."""
    return Row("Database", [Line(9, [_show_up(), _show_phases(), _show_reasons(), _show_age()])])


def _show_up() -> PanelBuilder:
    return build_timeline(
        "Which databases were up, and when?",
        "Share of the pods that reach each database. **Good:** up throughout. **Bad:** down; or "
        '"some pods": the others cannot reach it. **Do:** see the reasons next to this panel.',
        "percentunit",
        Query(f"avg by ({DATABASE}) ({database('up')})", _LEGEND),
        mappings=UP_NAMES,
        no_value=NO_DATABASE,
    )


def _show_phases() -> PanelBuilder:
    durations = database("probe_duration_seconds")
    return build_time_series(
        "How long does a probe take, and in which phase?",
        "95th percentile of each phase: checkout from the exporter's own pool, opening a new "
        "connection, running the query. **Good:** milliseconds, and steady. **Bad:** rising. A "
        "slow connect points to network, TLS or a busy server, a slow query to an overloaded "
        "server or a lock. **Do:** compare the pods; if all are slow, look at the server.",
        "s",
        Query(
            quantile_of(0.95, durations, f"{DATABASE}, phase"),
            "{{database}} · {{phase}} · {{job}}",
        ),
        no_value="no probe succeeded",
    )


def _show_reasons() -> PanelBuilder:
    errors = f"sum by ({DATABASE}, reason) ({rate(database('probe_errors_total'))})"
    return build_time_series(
        "Why do probes fail?",
        "Failed probes per minute by reason. **Good:** none. **Bad:** refused or timeout: server "
        "or network; auth: the password was changed; too_many_connections: the server is full. "
        "**Do:** look the reason up in docs/metrics.md.",
        "cpm",
        Query(f"60 * ({errors} > 0)", "{{database}} · {{reason}} · {{job}}"),
        bars=True,
        no_value="no probe fails",
    )


def _show_age() -> PanelBuilder:
    last = f"max by ({DATABASE}) ({database('probe_last_success_timestamp_seconds')})"
    return build_time_series(
        "When did each database last answer?",
        "Time since the last successful probe of any pod. **Good:** up to probe.interval (15 s by "
        "default). **Bad:** growing: down since then, or the exporter hangs; no line: it has not "
        "answered since the exporter started. **Do:** see the reasons next to this panel.",
        "s",
        Query(f"time() - {last}", _LEGEND),
        thresholds=((None, "green"), (60, "orange"), (120, "red")),
        no_value=f"none has answered yet, or {NO_DATABASE}",
    )
