"""The exporter's own families: what runs and with which configuration.

It must not know databases.
"""

import platform
from collections.abc import Iterator
from typing import Protocol

import sqlalchemy
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sqlalchemy_pool_exporter import read_version


class Configuration(Protocol):
    """Whether the last attempt to load the configuration succeeded, and when one last did."""

    @property
    def is_successful(self) -> bool: ...

    @property
    def succeeded_at(self) -> float | None:
        """In unix seconds; None as long as none was in use."""


class ExporterCollector(Collector):
    """Build and configuration of this process."""

    def __init__(self, configuration: Configuration) -> None:
        """Takes what tells how reading the configuration goes."""
        self._configuration = configuration

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
            value=self._configuration.is_successful,
        )
        if self._configuration.succeeded_at is not None:
            yield GaugeMetricFamily(
                "sqlalchemy_pool_exporter_config_last_reload_success_timestamp_seconds",
                "When the configuration in use was loaded, in unix seconds.",
                value=self._configuration.succeeded_at,
            )
