"""PromQL expressions with the dashboards' variables.

All are built on the exporter's own metrics, never on recording rules: the dashboards work without
the rules.
"""

from dataclasses import dataclass
from typing import Final

# One pool of one pod, or one database of one pod, with or without Kubernetes' labels.
POOL: Final = "namespace, job, pod, instance, application, pool, database"
POD_DATABASE: Final = "namespace, job, pod, instance, database"
POD: Final = "namespace, job, pod, instance"
# As in the recording rules: one database, from any exporter.
DATABASE: Final = "namespace, job, database"

# What the variables select.
FLEET_MATCHERS: Final = 'namespace=~"$namespace", job=~"$job"'
POD_MATCHERS: Final = f'{FLEET_MATCHERS}, pod=~"$pod", instance=~"$instance"'
_DATABASE_MATCHER: Final = 'database=~"$database"'
_POOL_MATCHERS: Final = f'application=~"$application", pool=~"$pool", {_DATABASE_MATCHER}'


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and its legend, in which `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Selectors:
    """Selectors of series by the variables; `origin` is that label's value, or a variable."""

    origin: str

    def pool(self, name: str, extra: str = "") -> str:
        """Return a metric of pools, `name` without `sqlalchemy_pool_`."""
        labels = join_labels(f'origin="{self.origin}"', extra, POD_MATCHERS, _POOL_MATCHERS)
        return f"sqlalchemy_pool_{name}{{{labels}}}"

    def rate(self, name: str, extra: str = "") -> str:
        """Return how fast a counter of pools rises, per second."""
        return rate(self.pool(name, extra))

    def quantile(self, quantile: float, histogram: str, by: str = "") -> str:
        """Return a quantile of a histogram of pools, empty without observations."""
        return quantile_of(quantile, self.pool(histogram), by)

    def utilization(self, by: str) -> str:
        """Return the mean share of the allowed connections in use, of pools with a limit."""
        limit = self.pool("max_connections")
        out = f"sum by ({by}) ({self.rate('checked_out_seconds_total')} and {limit})"
        return share(out, f"sum by ({by}) ({limit})")

    def saturation(self) -> str:
        """Return the share of time with every allowed connection out, as mean over engines."""
        full = f"sum by ({POOL}) ({self.rate('saturated_seconds_total')})"
        return f"{full} / {self.engines(POOL)}"

    def engines(self, by: str) -> str:
        """Return the engines of a pool: each adds its limits, and its time of being full."""
        engines = f"sum by ({by}) ({self.pool('engines')})"
        # The exporter's own pools have no such series, and one engine each.
        one = f"count by ({by}) ({self.pool('checked_out')})"
        return f"({engines} or {one})"

    def failures(self) -> str:
        """Return the counter of failed checkouts: timeouts, cancelled ones and errors."""
        return self.pool("checkout_failures_total")

    def demand(self, by: str) -> str:
        """Return the mean number of connections that callers had or waited for (Little's law)."""
        out = f"sum by ({by}) ({self.rate('checked_out_seconds_total')})"
        waiting = f"sum by ({by}) ({self.rate('pending_seconds_total')})"
        # On a pool without a queue nobody waits.
        return f"{out} + ({waiting} or 0 * {out})"


def database(name: str, extra: str = "") -> str:
    """Return a metric of databases in the selected pods, without `sqlalchemy_database_`."""
    return f"sqlalchemy_database_{name}{{{join_labels(extra, POD_MATCHERS, _DATABASE_MATCHER)}}}"


def server(name: str, extra: str = "") -> str:
    """Return a metric by its full name, from all pods, selected or not."""
    return f"{name}{{{join_labels(extra, FLEET_MATCHERS, _DATABASE_MATCHER)}}}"


def exporter(name: str, extra: str = "") -> str:
    """Return a metric of the selected exporters, by its full name."""
    return f"{name}{{{join_labels(extra, POD_MATCHERS)}}}"


def of_exporters(expr: str) -> str:
    """Restrict a metric to exporters, because other programs have metrics of that name too."""
    own = f"last_over_time({exporter('sqlalchemy_pool_exporter_build_info')}[1d])"
    return f"{expr} and on (namespace, job, instance) {own}"


def scraped() -> str:
    """Return `up` of each exporter; one never scraped is found by its container's name."""
    never = exporter("up", 'container="pool-exporter"')
    return f"{of_exporters(exporter('up'))} or {never}"


def alerts(extra: str = "") -> str:
    """Return the alerts that fire; those of a server have no pod, those of an exporter no pool."""
    own = 'alertname=~"SQLAlchemy.*", alertstate="firing"'
    some = 'pod=~"$pod|", instance=~"$instance|", database=~"$database|"'
    return f"ALERTS{{{join_labels(own, extra, FLEET_MATCHERS, some)}}}"


def available() -> str:
    """Return the connections that a server has for ordinary clients."""
    limit = server("sqlalchemy_database_server_max_connections")
    reserved = server("sqlalchemy_database_server_reserved_connections")
    # MySQL and MariaDB reserve connections on top of their maximum.
    mysql = server("sqlalchemy_database_info", 'dialect=~"mysql|mariadb"')
    less = f"{limit} - ({reserved} unless on ({POD_DATABASE}) {mysql})"
    return f"max by ({DATABASE}) ({less} or {limit})"


def taken() -> str:
    """Return the connections of all clients of a server."""
    states = server("sqlalchemy_database_server_connections")
    return f"max by ({DATABASE}) (sum without (state) ({states}))"


def committed(by: str = DATABASE) -> str:
    """Return the connections that the pools of all pods may open, the exporters' own included."""
    return f"sum by ({by}) ({server('sqlalchemy_pool_max_connections')})"


def rate(selector: str) -> str:
    """Return how fast a counter rises, per second."""
    return f"rate({selector}[$__rate_interval])"


def quantile_of(quantile: float, histogram: str, by: str = "") -> str:
    """Return a quantile; empty, not NaN, without observations.

    One series under the histogram's own name replaces its buckets where Prometheus converts them
    to native histograms (`convert_classic_histograms_to_nhcb`).
    """
    classic = f"histogram_quantile({quantile}, {_rate_buckets(histogram, by)})"
    native = f"histogram_quantile({quantile}, sum by ({by}) ({rate(histogram)}))"
    return f"({classic} or {native}) >= 0"


def distribution_of(histogram: str) -> str:
    """Return a histogram's observations per second, for a heatmap."""
    return f"{_rate_buckets(histogram)} or on () sum({rate(histogram)})"


def _rate_buckets(histogram: str, by: str = "") -> str:
    # The label matchers begin at the brace.
    buckets = histogram.replace("{", "_bucket{", 1)
    return f"sum by ({join_labels('le', by)}) ({rate(buckets)})"


def share(part: str, whole: str) -> str:
    """Return part / whole; empty where the whole is zero."""
    return f"{part} / ({whole} > 0)"


def at(expr: str) -> str:
    """Add the label `at`: the pod's name, or without Kubernetes the instance."""
    instance = f'label_replace({expr}, "at", "$1", "instance", "(.*)")'
    return f'label_replace({instance}, "at", "$1", "pod", "(.+)")'


def top(count: int, expr: str) -> str:
    """Return the highest values, each with its label `at`."""
    return at(f"topk({count}, {expr})")


def join_labels(*labels: str) -> str:
    """Join matchers or label names into a list, without empty ones."""
    return ", ".join(each for each in labels if each)
