"""The sqlalchemy_pool_ families: the exporter's own pools and the application's."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter.collectors.families import fill_labels
from sqlalchemy_pool_exporter.collectors.pool_sums import PoolSums
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.shared_files import AppReading, FileState
from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.prometheus import build_families

ReadApp: TypeAlias = Callable[[], AppReading]
Row: TypeAlias = tuple[Mapping[str, str], Snapshot]


class PoolCollector(Collector):
    """Every pool under its labels; the application's pools with the same labels are summed."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        read_app: ReadApp,
        *,
        per_process: bool = False,
        probe_pools: bool = True,
    ) -> None:
        """Take the probes by database and how to read the application's pools at each scrape.

        Without `probe_pools` the probes only name the databases of the application's pools.
        """
        self._shown_probes = probes if probe_pools else {}
        self._read_app = read_app
        self._sums = PoolSums(probes.values(), per_process=per_process)

    def collect(self) -> Iterator[Metric]:
        """Yield the families of the agent's catalogue and those about files."""
        reading = self._read_app()
        rows = [*self._read_probe_pools(), *self._sums.sum(reading)]
        yield from build_families(rows, self._sums.label_names)
        yield build_app_files(reading.files)
        yield build_pools_not_shown(reading)

    def _read_probe_pools(self) -> Iterator[Row]:
        for name, probe in self._shown_probes.items():
            labels = {**probe.labels, "origin": "probe", "pool": name, "database": name}
            yield fill_labels(labels, self._sums.label_names), probe.database.read_pool()


def build_app_files(files: Mapping[FileState, int]) -> GaugeMetricFamily:
    """Return how many files there are of each state; no sample if no folder is configured."""
    family = GaugeMetricFamily(
        "sqlalchemy_pool_exporter_app_files",
        "Files in the application's folder, one per process: live (the process runs), dead (its "
        "counters are still counted), unreadable (damaged, alien or of a newer version; "
        "or the folder itself). "
        "Absent when app.dir is not set.",
        labels=["state"],
    )
    for state, count in files.items():
        family.add_metric([state], count)
    return family


def build_pools_not_shown(reading: AppReading) -> GaugeMetricFamily:
    """Return how many pools there is no room for; no sample if no folder is configured."""
    return GaugeMetricFamily(
        "sqlalchemy_pool_exporter_app_pools_not_shown",
        "Pools of running processes that are missing here: their process has more than 256, or the "
        "volume of app.dir is full. Absent when app.dir is not set.",
        value=reading.pools_not_shown if reading.files else None,
    )
