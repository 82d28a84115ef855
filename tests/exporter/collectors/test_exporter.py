"""The exporter's versions, and how its reloads go."""

import platform
from importlib import metadata

import pytest
import sqlalchemy

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.collectors.exporter import ExporterCollector, ReloadStatus
from tests.exporter.collectors.probes import build_registry

PREFIX = "sqlalchemy_pool_exporter"


def test_there_is_no_time_of_success_until_a_configuration_is_in_use() -> None:
    registry = build_registry(ExporterCollector(ReloadStatus()))
    with_series = [family.name for family in registry.collect() if family.samples]
    assert with_series == [f"{PREFIX}_build_info", f"{PREFIX}_config_last_reload_successful"]


@pytest.mark.parametrize("is_successful", [True, False])
def test_versions_and_reloads_are_shown(*, is_successful: bool) -> None:
    registry = build_registry(ExporterCollector(ReloadStatus(is_successful, succeeded_at=1234.5)))
    versions = {
        "version": metadata.version("sqlalchemy-pool-exporter"),
        "python": platform.python_version(),
        "sqlalchemy": sqlalchemy.__version__,
    }
    assert registry.get_sample_value(f"{PREFIX}_build_info", versions) == 1
    successful = registry.get_sample_value(f"{PREFIX}_config_last_reload_successful")
    assert successful == float(is_successful)
    timestamp = f"{PREFIX}_config_last_reload_success_timestamp_seconds"
    assert registry.get_sample_value(timestamp) == 1234.5


def test_version_is_the_installed_distributions() -> None:
    assert read_version() == metadata.version("sqlalchemy-pool-exporter")


def test_sources_that_were_never_installed_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlalchemy_pool_exporter.DISTRIBUTION", "no-such-distribution")
    assert read_version.__wrapped__() == "unknown"
