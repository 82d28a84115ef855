"""What the exporter knows about databases and their drivers: one record per SQLAlchemy dialect."""

from sqlalchemy_pool_exporter.dialects.arguments import ArgumentProblem
from sqlalchemy_pool_exporter.dialects.base import STATES, Dialect, Driver, ServerStatus
from sqlalchemy_pool_exporter.dialects.classify import classify
from sqlalchemy_pool_exporter.dialects.database_url import (
    DatabaseURL,
    Endpoint,
    build_endpoint,
    parse_url,
)
from sqlalchemy_pool_exporter.dialects.registry import find_dialect, find_driver

__all__ = [
    "STATES",
    "ArgumentProblem",
    "DatabaseURL",
    "Dialect",
    "Driver",
    "Endpoint",
    "ServerStatus",
    "build_endpoint",
    "classify",
    "find_dialect",
    "find_driver",
    "parse_url",
]
