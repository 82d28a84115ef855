"""The application's pools, read from the files that its processes share."""

from sqlalchemy_pool_exporter.shared_files.folder import SharedFolder
from sqlalchemy_pool_exporter.shared_files.process_file import AppReading, FileState, ProcessPools

__all__ = ["AppReading", "FileState", "ProcessPools", "SharedFolder"]
