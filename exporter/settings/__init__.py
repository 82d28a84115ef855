"""What the exporter is told to do: read, checked, and complained about in one line per mistake."""

from exporter.settings.databases import DatabaseSettings, Role
from exporter.settings.errors import SettingsError, SettingsErrors
from exporter.settings.loading import list_files, load_settings
from exporter.settings.pools import PoolClass, PoolSettings
from exporter.settings.probes import ProbeSettings
from exporter.settings.rest import load_rest, load_start
from exporter.settings.settings import AppSettings, LogSettings, Settings, WebSettings

__all__ = [
    "AppSettings",
    "DatabaseSettings",
    "LogSettings",
    "PoolClass",
    "PoolSettings",
    "ProbeSettings",
    "Role",
    "Settings",
    "SettingsError",
    "SettingsErrors",
    "WebSettings",
    "list_files",
    "load_rest",
    "load_settings",
    "load_start",
]
