"""The sqlalchemy_database_ families: what the last probes found. A scrape asks no database."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Final

from sqlalchemy_pool_exporter.collectors.exposition import Scrape
from sqlalchemy_pool_exporter.collectors.families import (
    FamilyRenderer,
    fill_labels,
    read_label_names,
)
from sqlalchemy_pool_exporter.dialects import STATES, ServerStatus
from sqlalchemy_pool_exporter.failures import PROBE_REASONS
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.probes.check import CONNECT_BOUNDS, Kind, Phase, Result
from sqlalchemy_pool_metrics.families import Family, Series, count_up, single

PROBES: Final = tuple(product(Kind, Result))
REASONS: Final = tuple((reason,) for reason in PROBE_REASONS)
PHASES: Final = tuple((phase,) for phase in Phase)


def read_info(probe: Probe) -> Series:
    """Return dialect, driver and version of a database that is up."""
    if probe.last_server is None:
        return (), ()
    return [(probe.database.dialect, probe.database.driver, probe.last_server.version)], [1]


def read_durations(probe: Probe) -> Series:
    """Return the histogram of each phase."""
    histograms = [probe.durations[phase] for (phase,) in PHASES]
    return PHASES, [n for each in histograms for n in count_up(each.counts, each.sum)]


def read_connections(probe: Probe) -> Series:
    """Return the connections by state, nothing if the server does not say."""
    connections = (probe.last_server.connections if probe.last_server else None) or {}
    known = [state for state in STATES if state in connections]
    return [(state,) for state in known], [connections[state] for state in known]


def from_server(read: Callable[[ServerStatus], float | None]) -> Callable[[Probe], Series]:
    """Return how to read one value of the server's last status."""
    return lambda probe: single(read(probe.last_server) if probe.last_server else None)


FAMILIES: Final[tuple[Family[Probe], ...]] = (
    Family(
        "sqlalchemy_database_up",
        "gauge",
        "Whether the last probe of the database succeeded: 1 or 0. "
        "0 from the start until the first probe has succeeded.",
        lambda probe: single(probe.up),
    ),
    Family(
        "sqlalchemy_database_info",
        "gauge",
        "What the database is: SQLAlchemy's dialect and driver, and the server's version; "
        "the value is always 1. Absent while the database is down.",
        read_info,
        labels=("dialect", "driver", "server_version"),
    ),
    Family(
        "sqlalchemy_database_probes",
        "counter",
        "Probes that ended, by the kind of connection (pooled: out of the pool; fresh: newly "
        "opened) and by result (ok, error).",
        lambda probe: (PROBES, [probe.probes_total[each] for each in PROBES]),
        labels=("kind", "result"),
    ),
    Family(
        "sqlalchemy_database_probe_errors",
        "counter",
        "Probes that failed, by the reason of the failure.",
        lambda probe: (REASONS, [probe.probe_errors_total[reason] for (reason,) in REASONS]),
        labels=("reason",),
    ),
    Family(
        "sqlalchemy_database_probe_duration_seconds",
        "histogram",
        "Time the phases of probes took, in seconds: checkout (waiting for a connection of the "
        "pool, opening one where needed), connect (opening a fresh one), query.",
        read_durations,
        labels=("phase",),
        bounds=CONNECT_BOUNDS,
    ),
    Family(
        "sqlalchemy_database_probe_last_success_timestamp_seconds",
        "gauge",
        "When a probe last succeeded, in unix seconds. Absent until one has.",
        lambda probe: single(probe.last_success_timestamp),
    ),
    Family(
        "sqlalchemy_database_writable",
        "gauge",
        "Whether the server accepts writes: 1 or 0 (PostgreSQL: neither in recovery nor "
        "read-only by default).",
        from_server(lambda server: server.writable),
    ),
    Family(
        "sqlalchemy_database_role_mismatch",
        "gauge",
        "Whether the server contradicts the configured role: 1 when a primary is read-only or a "
        "replica writable, else 0. Absent for the role any.",
        lambda probe: single(probe.last.role_mismatch if probe.last else None),
    ),
    Family(
        "sqlalchemy_database_replication_lag_seconds",
        "gauge",
        "How far the replica lags behind, in seconds. Absent on a primary.",
        from_server(lambda server: server.replication_lag_seconds),
    ),
    Family(
        "sqlalchemy_database_server_max_connections",
        "gauge",
        "Connections the server accepts at most, reserved ones included.",
        from_server(lambda server: server.max_connections),
    ),
    Family(
        "sqlalchemy_database_server_reserved_connections",
        "gauge",
        "Connections of the maximum that are reserved for superusers and privileged roles.",
        from_server(lambda server: server.reserved_connections),
    ),
    Family(
        "sqlalchemy_database_server_connections",
        "gauge",
        "Connections the server has now, of all its clients, by state.",
        read_connections,
        labels=("state",),
    ),
)


class DatabaseCollector:
    """One set of series per probe; what a probe has not found is absent."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        """Take the probes by database."""
        names = ("database", *read_label_names(probe.labels for probe in probes.values()))
        self._probes = [
            (fill_labels({**probe.labels, "database": probe.name}, names), probe)
            for probe in probes.values()
        ]
        self._renderer = FamilyRenderer(FAMILIES)

    def render(self, scrape: Scrape) -> list[bytes]:
        """Return the families in the catalogue's order."""
        return self._renderer.render(scrape, self._probes)
