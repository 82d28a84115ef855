"""The application's pools, read from the files that its processes share."""

from sqlalchemy_pool_exporter.shared_files.folder import AppReading, ProcessPools, SharedFolder
from sqlalchemy_pool_exporter.shared_files.process_file import FileState

__all__ = ["AppReading", "FileState", "ProcessPools", "SharedFolder"]
