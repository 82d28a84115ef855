"""The sqlalchemy_pool_exporter_ families: versions, and the outcome of reloads."""

import platform
import time
from dataclasses import dataclass
from typing import Final

import sqlalchemy

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.collectors.exposition import Scrape
from sqlalchemy_pool_exporter.collectors.families import FamilyRenderer
from sqlalchemy_pool_metrics.families import Family, single


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


FAMILIES: Final[tuple[Family[ReloadStatus], ...]] = (
    Family(
        "sqlalchemy_pool_exporter_build_info",
        "gauge",
        "Versions of the exporter, of Python and of SQLAlchemy; the value is always 1.",
        lambda _: ([(read_version(), platform.python_version(), sqlalchemy.__version__)], [1]),
        labels=("version", "python", "sqlalchemy"),
    ),
    Family(
        "sqlalchemy_pool_exporter_config_last_reload_successful",
        "gauge",
        "Whether the last attempt to load the configuration succeeded: 1 or 0.",
        lambda status: single(status.is_successful),
    ),
    Family(
        "sqlalchemy_pool_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration in use was loaded, in unix seconds.",
        lambda status: single(status.succeeded_at),
    ),
)


class ExporterCollector:
    """Build and configuration of this process."""

    def __init__(self, reload_status: ReloadStatus) -> None:
        """Take the status, which may change between two scrapes."""
        self._reload_status = reload_status
        self._renderer = FamilyRenderer(FAMILIES)

    def render(self, scrape: Scrape) -> list[bytes]:
        """Return the families, except those about collectors and files."""
        return self._renderer.render(scrape, [({}, self._reload_status)])
