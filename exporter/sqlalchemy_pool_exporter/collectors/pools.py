"""The sqlalchemy_pool_ families: the exporter's own pools and the application's."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from sqlalchemy_pool_exporter.collectors.exposition import Scrape
from sqlalchemy_pool_exporter.collectors.families import FamilyRenderer, fill_labels
from sqlalchemy_pool_exporter.collectors.pool_sums import PoolSums
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.shared_files import AppReading
from sqlalchemy_pool_metrics.families import APP_FAMILIES, FAMILIES, Family, single

ReadApp: TypeAlias = Callable[[], AppReading]

FILE_FAMILIES: Final[tuple[Family[AppReading], ...]] = (
    Family(
        "sqlalchemy_pool_exporter_app_files",
        "gauge",
        "Files in the application's folder, one per process: live (the process runs), dead (its "
        "counters are still counted), unreadable (damaged, alien or of a newer version; "
        "or the folder itself). "
        "Absent when app.dir is not set.",
        lambda reading: ([(state,) for state in reading.files], [*reading.files.values()]),
        labels=("state",),
    ),
    Family(
        "sqlalchemy_pool_exporter_app_pools_not_shown",
        "gauge",
        "Pools of running processes that are missing here: their process has more than 256, or the "
        "volume of app.dir is full. Absent when app.dir is not set.",
        lambda reading: single(reading.pools_not_shown if reading.files else None),
    ),
)


class PoolCollector:
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
        self._read_app = read_app
        self._sums = PoolSums(probes.values(), per_process=per_process)
        self._probe_pools = [
            (fill_labels(label_probe_pool(probe), self._sums.label_names), probe.database)
            for probe in (probes.values() if probe_pools else ())
        ]
        self._pools = FamilyRenderer(FAMILIES, of_values=True)
        self._app_pools = FamilyRenderer(APP_FAMILIES, of_values=True)
        self._files = FamilyRenderer(FILE_FAMILIES)

    def render(self, scrape: Scrape) -> list[bytes]:
        """Return the families of the agent's catalogue and those about files."""
        reading = self._read_app()
        app_pools = list(self._sums.sum(reading))
        probe_pools = [(labels, database.read_pool()) for labels, database in self._probe_pools]
        return [
            *self._pools.render(scrape, [*probe_pools, *app_pools]),
            *self._app_pools.render(scrape, app_pools),
            *self._files.render(scrape, [({}, reading)]),
        ]


def label_probe_pool(probe: Probe) -> dict[str, str]:
    """Return the labels of the pool that the exporter itself uses."""
    return {**probe.labels, "origin": "probe", "pool": probe.name, "database": probe.name}
