"""The sqlalchemy_pool_ families: the exporter's own pools and the application's.

The agent turns snapshots into families; here stands only which snapshots, under which labels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from exporter.collectors.labels import fill_labels, read_label_names
from exporter.probes import Probe
from sqlalchemy_pool_metrics.layout import PoolDescription, Snapshot, merge
from sqlalchemy_pool_metrics.prometheus import POOL_LABELS, app_labels, build_families

AppPools: TypeAlias = Callable[[], Iterable[Snapshot]]
Row: TypeAlias = tuple[Mapping[str, str], Snapshot]

DEFAULT_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


class PoolCollector(Collector):
    """Every pool under its labels, pools with the same ones summed."""

    def __init__(self, probes: Mapping[str, Probe], app_pools: AppPools) -> None:
        """Takes the probes by database and what reads the application's pools at each scrape."""
        self._probes = probes
        self._app_pools = app_pools

    def collect(self) -> Iterator[Metric]:
        """Yields every family of the agent's catalogue."""
        configured = read_label_names(probe.labels for probe in self._probes.values())
        names = (*POOL_LABELS, *configured)
        rows = [*self._read_probe_pools(), *self._read_app_pools()]
        yield from build_families(sum_rows(rows, names), names)

    def _read_probe_pools(self) -> Iterator[Row]:
        for name, probe in self._probes.items():
            labels = {"origin": "probe", "pool": name, "database": name}
            yield {**probe.labels, **labels}, probe.database.read_pool()

    def _read_app_pools(self) -> Iterator[Row]:
        """Yields the application's, under the name and labels of their database if it is ours."""
        known = {
            read_endpoint(probe.database.read_pool().pool): probe for probe in self._probes.values()
        }
        for snapshot in self._app_pools():
            labels = app_labels(snapshot)
            if probe := known.get(read_endpoint(snapshot.pool)):
                labels = {**probe.labels, **labels, "database": probe.name}
            yield labels, snapshot


def read_endpoint(pool: PoolDescription) -> tuple[str, int | None, str]:
    """Returns the host, port and database a pool connects to; the dialect's port by default."""
    return pool.host, pool.port or DEFAULT_PORTS.get(pool.dialect), pool.database


def sum_rows(rows: Iterable[Row], names: Sequence[str]) -> list[Row]:
    """Returns one row per set of labels: a series can stand in a scrape only once."""
    groups: dict[tuple[str, ...], list[Snapshot]] = {}
    for labels, snapshot in rows:
        values = tuple(fill_labels(labels, names).values())
        groups.setdefault(values, []).append(snapshot)
    return [
        (dict(zip(names, values, strict=True)), merge(snapshots))
        for values, snapshots in groups.items()
    ]
