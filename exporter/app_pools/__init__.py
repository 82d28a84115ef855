"""The application's pools, read from the files that its processes share."""

from exporter.app_pools.folder import AppFolder
from exporter.app_pools.reading import AppReading, FileState, ProcessPools

__all__ = ["AppFolder", "AppReading", "FileState", "ProcessPools"]
