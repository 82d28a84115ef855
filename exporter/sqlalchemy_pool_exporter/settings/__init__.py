"""The configuration: its model, its sources, and one line for each mistake in it."""

from sqlalchemy_pool_exporter.settings.databases import DatabaseSettings, Role
from sqlalchemy_pool_exporter.settings.errors import SettingsError, SettingsErrors
from sqlalchemy_pool_exporter.settings.loading import (
    list_files,
    load_bootstrap,
    load_settings,
    load_without_databases,
)
from sqlalchemy_pool_exporter.settings.pools import PoolClass, PoolSettings
from sqlalchemy_pool_exporter.settings.probes import ProbeSettings
from sqlalchemy_pool_exporter.settings.settings import (
    AppSettings,
    LogSettings,
    MetricsSettings,
    Settings,
    WebSettings,
)

__all__ = [
    "AppSettings",
    "DatabaseSettings",
    "LogSettings",
    "MetricsSettings",
    "PoolClass",
    "PoolSettings",
    "ProbeSettings",
    "Role",
    "Settings",
    "SettingsError",
    "SettingsErrors",
    "WebSettings",
    "list_files",
    "load_bootstrap",
    "load_settings",
    "load_without_databases",
]
