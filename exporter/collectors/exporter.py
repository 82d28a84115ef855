"""The exporter's own families: what runs and with which configuration.

It must not know databases.
"""

import platform
from collections.abc import Iterator

import sqlalchemy
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.version import read_version


class ExporterCollector(Collector):
    """Build and configuration of this process."""

    def __init__(self, loaded_at: float) -> None:
        """Takes when the configuration was loaded, in unix seconds."""
        self._loaded_at = loaded_at

    def collect(self) -> Iterator[Metric]:
        """Yields the sqlalchemy_pool_exporter_ families, except the ones about collectors."""
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
            value=1,
        )
        yield GaugeMetricFamily(
            "sqlalchemy_pool_exporter_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was loaded, in unix seconds.",
            value=self._loaded_at,
        )
