"""The sqlalchemy_pool_exporter_ families: versions, and the outcome of reloads."""

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter import read_version


@dataclass(slots=True)
class ReloadStatus:
    """Whether the last attempt to load the configuration succeeded, and when one last did.

    `succeeded_at` is in unix seconds, None until a configuration is in use.
    """

    is_successful: bool = False
    succeeded_at: float | None = None

    def succeed(self) -> None:
        """Note that a configuration was applied just now."""
        self.is_successful = True
        self.succeeded_at = time.time()

    def fail(self) -> None:
        """Note that the last attempt failed."""
        self.is_successful = False


class ExporterCollector(Collector):
    """Build and configuration of this process."""

    def __init__(self, reload_status: ReloadStatus) -> None:
        """Take the status, which may change between two scrapes."""
        self._reload_status = reload_status

    def collect(self) -> Iterator[Metric]:
        """Yield the families, except those about collectors and files."""
        build = GaugeMetricFamily(
            "sqlalchemy_pool_exporter_build_info",
            "Versions of the exporter, of Python and of SQLAlchemy; the value is always 1.",
            labels=["version", "python", "sqlalchemy"],
        )
        build.add_metric([read_version(), platform.python_version(), sqlalchemy.__version__], 1)
        yield build
        yield GaugeMetricFamily(
            "sqlalchemy_pool_exporter_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded: 1 or 0.",
            value=self._reload_status.is_successful,
        )
        if self._reload_status.succeeded_at is not None:
            yield GaugeMetricFamily(
                "sqlalchemy_pool_exporter_config_last_reload_success_timestamp_seconds",
                "When the configuration in use was loaded, in unix seconds.",
                value=self._reload_status.succeeded_at,
            )
