"""The sqlalchemy_database_ families: what the last probes found. A scrape asks no database."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.families import ProbeFamilies, Read, Values, single
from sqlalchemy_pool_exporter.dialects import STATES, ServerStatus
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.probes.check import DurationHistogram


class DatabaseCollector(Collector):
    """One set of series per probe; what a probe has not found is absent."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        """Take the probes by database."""
        self._probes = probes

    def collect(self) -> Iterator[Metric]:
        """Yield the families in the catalogue's order."""
        families = ProbeFamilies("sqlalchemy_database", self._probes.values())
        yield from collect_probes(families)
        yield from collect_role(families)
        yield from collect_server(families)


def collect_probes(families: ProbeFamilies) -> Iterator[Metric]:
    """Yield whether the database answers, how often it did, and how long that took."""
    yield families.gauge(
        "up",
        "Whether the last probe of the database succeeded: 1 or 0. "
        "0 from the start until the first probe has succeeded.",
        lambda probe: single(probe.up),
    )
    yield families.gauge(
        "info",
        "What the database is: SQLAlchemy's dialect and driver, and the server's version; "
        "the value is always 1. Absent while the database is down.",
        read_info,
        labels=("dialect", "driver", "server_version"),
    )
    yield families.counter(
        "probes",
        "Probes that ended, by the kind of connection (pooled: out of the pool; fresh: newly "
        "opened) and by result (ok, error).",
        read_probes,
        labels=("kind", "result"),
    )
    yield families.counter(
        "probe_errors",
        "Probes that failed, by the reason of the failure.",
        read_errors,
        labels=("reason",),
    )
    yield families.histogram(
        "probe_duration_seconds",
        "Time the phases of probes took, in seconds: checkout (waiting for a connection of the "
        "pool, opening one where needed), connect (opening a fresh one), query.",
        read_durations,
        labels=("phase",),
    )
    yield families.gauge(
        "probe_last_success_timestamp_seconds",
        "When a probe last succeeded, in unix seconds. Absent until one has.",
        lambda probe: single(probe.last_success_timestamp),
    )


def collect_role(families: ProbeFamilies) -> Iterator[Metric]:
    """Yield the server's role in its cluster. Absent while it is down."""
    yield families.gauge(
        "writable",
        "Whether the server accepts writes: 1 or 0 (PostgreSQL: neither in recovery nor "
        "read-only by default).",
        from_server(lambda server: server.writable),
    )
    yield families.gauge(
        "role_mismatch",
        "Whether the server contradicts the configured role: 1 when a primary is read-only or a "
        "replica writable, else 0. Absent for the role any.",
        lambda probe: single(probe.last.role_mismatch if probe.last else None),
    )
    yield families.gauge(
        "replication_lag_seconds",
        "How far the replica lags behind, in seconds. Absent on a primary.",
        from_server(lambda server: server.replication_lag_seconds),
    )


def collect_server(families: ProbeFamilies) -> Iterator[Metric]:
    """Yield how many connections the server has. Absent while it is down or does not say."""
    yield families.gauge(
        "server_max_connections",
        "Connections the server accepts at most, reserved ones included.",
        from_server(lambda server: server.max_connections),
    )
    yield families.gauge(
        "server_reserved_connections",
        "Connections of the maximum that are reserved for superusers and privileged roles.",
        from_server(lambda server: server.reserved_connections),
    )
    yield families.gauge(
        "server_connections",
        "Connections the server has now, of all its clients, by state.",
        read_connections,
        labels=("state",),
    )


def from_server(read: Callable[[ServerStatus], float | None]) -> Read[float]:
    """Return how to read one value of the server's last status."""
    return lambda probe: single(read(probe.last_server) if probe.last_server else None)


def read_info(probe: Probe) -> Values[float]:
    """Return dialect, driver and version of a database that is up."""
    if probe.last_server is None:
        return {}
    return {(probe.database.dialect, probe.database.driver, probe.last_server.version): 1}


def read_probes(probe: Probe) -> Values[float]:
    """Return every kind with every result, from 0."""
    return {(kind, result): count for (kind, result), count in probe.probes_total.items()}


def read_errors(probe: Probe) -> Values[float]:
    """Return every reason, from 0."""
    return {(reason,): count for reason, count in probe.probe_errors_total.items()}


def read_durations(probe: Probe) -> Values[DurationHistogram]:
    """Return the histogram of each phase."""
    return {(phase,): histogram for phase, histogram in probe.durations.items()}


def read_connections(probe: Probe) -> Values[float]:
    """Return the connections by state, nothing if the server does not say."""
    connections = (probe.last_server.connections if probe.last_server else None) or {}
    return {(state,): connections[state] for state in STATES if state in connections}
