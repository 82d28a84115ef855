"""Pool detail: what the probes find out about the selected pools' databases."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series, build_timeline
from grafana.source.pool_detail.selection import NO_DATABASE, SELECTED
from grafana.source.queries import (
    DATABASE,
    POD_DATABASE,
    Query,
    at,
    database,
    quantile_of,
    rate,
)
from grafana.source.shared import UP_NAMES
from grafana.source.tables import Column, build_table
from grafana.source.thresholds import build_names

_BY_POD = "{{database}} · {{at}}"


def build_database_row() -> Row:
    """Return the row of the databases."""
    lines = [
        Line(8, [_show_up(), _show_phases(), _show_reasons(), _show_failures()]),
        Line(8, [_show_role(), _show_lag(), _show_probes(), _list_servers()], widths=(6, 5, 5, 8)),
    ]
    return Row("Database", lines)


def _show_up() -> PanelBuilder:
    return build_timeline(
        "Which pods reach the database, and when?",
        "**Good:** up in every pod. **Bad:** down in all: the server; in one: its node's network "
        "or its secrets. **Do:** see the reasons next to this panel.",
        "percentunit",
        Query(at(f"min by ({POD_DATABASE}) ({database('up')})"), _BY_POD),
        mappings=UP_NAMES,
        no_value=NO_DATABASE,
    )


def _show_phases() -> PanelBuilder:
    phases = quantile_of(0.95, database("probe_duration_seconds"), "database, phase")
    return build_time_series(
        "How long does the database take to answer?",
        "95th percentile of each phase: checkout from the exporter's own pool, opening a new "
        "connection, running the query. Whatever the application waits beyond that is caused by "
        "itself. **Good:** milliseconds. **Bad:** rising together with the pool's waits: the "
        "server is slow, and a larger pool makes it worse. **Do:** look at the server.",
        "s",
        Query(phases, "{{database}} · {{phase}}"),
        no_value=f"no probe succeeded, or {NO_DATABASE}",
    )


def _show_reasons() -> PanelBuilder:
    errors = f"sum by (database, reason) ({rate(database('probe_errors_total'))})"
    return build_time_series(
        "Why do probes fail?",
        "Failed probes per minute by reason. **Good:** none. **Bad:** any. **Do:** look the reason "
        "up in docs/metrics.md; /health/db of the exporter shows the message.",
        "cpm",
        Query(f"60 * ({errors} > 0)", "{{database}} · {{reason}}"),
        bars=True,
        no_value="no probe fails",
    )


def _show_failures() -> PanelBuilder:
    def per_minute(counter: str) -> str:
        # Only reasons that occurred: there are many of them.
        return f"60 * (sum by (reason) ({SELECTED.rate(counter)}) > 0)"

    return build_time_series(
        "Why do connections and statements fail?",
        "The pools' own failures per minute: connections that could not be opened, and statements. "
        "**Good:** none, or a few with the reason other, such as violated constraints. **Bad:** "
        "read_only: the pool writes to a replica or a demoted primary; disconnected: something "
        "cuts connections; timeout, deadlock: locks. **Do:** look the reason up in "
        "docs/metrics.md.",
        "cpm",
        Query(per_minute("connection_failures_total"), "connection · {{reason}}"),
        Query(per_minute("statement_failures_total"), "statement · {{reason}}"),
        bars=True,
        no_value="nothing fails",
    )


def _show_role() -> PanelBuilder:
    # A replica should not be writable: only a mismatch with the role is good or bad.
    names = build_names(
        {
            "0": ("no", "gray"),
            "1": ("yes", "blue"),
            "2": ("not as expected", "red"),
            "3": ("as expected", "green"),
        }
    )
    mismatch = f"max by ({POD_DATABASE}) ({database('role_mismatch')})"
    writable = f"min by ({POD_DATABASE}) ({database('writable')})"
    return build_timeline(
        "Does it accept writes, and should it?",
        "Whether the server accepts writes, and whether that matches the configured role. "
        "**Good:** as expected. **Bad:** not as expected: for example a primary that is read-only "
        "after a failover or because of a full disk. **Do:** point the address to the new primary.",
        "short",
        Query(at(writable), "writable · {{database}} · {{at}}"),
        Query(f"3 - {at(mismatch)}", "role · {{database}} · {{at}}"),
        mappings=[names],
        no_value="unknown while it is down",
    )


def _show_lag() -> PanelBuilder:
    lag = f"max by ({POD_DATABASE}) ({database('replication_lag_seconds')})"
    return build_time_series(
        "How far is the replica behind?",
        "**Good:** below a second; a single high value is a pause in the primary's writes. "
        "**Bad:** growing: readers see old data. **Do:** look for long queries on the replica, and "
        "at its network and disk.",
        "s",
        Query(at(lag), _BY_POD),
        thresholds=((None, "green"), (10, "orange"), (60, "red")),
        no_value="not a replica",
    )


def _show_probes() -> PanelBuilder:
    probes = f"sum by (kind, result) ({rate(database('probes_total'))})"
    return build_time_series(
        "Do new connections work like the pooled ones?",
        "Probes per minute on pooled and on fresh connections. **Good:** all ok. **Bad:** fresh "
        "ones fail while pooled ones work: the application will fail as soon as it has to open "
        "one. **Do:** look at the password, the server's limit and pg_hba.conf.",
        "cpm",
        Query(f"60 * {probes}", "{{kind}} · {{result}}"),
        no_value=NO_DATABASE,
    )


def _list_servers() -> PanelBuilder:
    labels = f"{DATABASE}, dialect, driver, server_version"
    last = f"max by ({DATABASE}) ({database('probe_last_success_timestamp_seconds')})"
    columns = [
        Column("Last answer", f"time() - {last}", "s", 0),
        Column("Info", f"max by ({labels}) ({database('info')})", hidden=True),
    ]
    return build_table(
        "What server is it?",
        "**Good:** one line for each database. **Bad:** two: pods reach different servers under "
        "one name; no version: it is down. **Do:** compare the pods' configurations.",
        columns,
        first=("database", "server_version", "dialect", "driver"),
        sort="Database",
        descending=False,
        no_value=NO_DATABASE,
    )
