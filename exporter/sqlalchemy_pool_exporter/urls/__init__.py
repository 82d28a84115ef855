"""Database URLs as teams have them, translated for the drivers the exporter runs on."""

from sqlalchemy_pool_exporter.urls.database_url import DatabaseURL, parse_url
from sqlalchemy_pool_exporter.urls.endpoint import Endpoint, build_endpoint
from sqlalchemy_pool_exporter.urls.parameters import check_files
from sqlalchemy_pool_exporter.urls.parts import (
    Host,
    URLError,
    URLProblem,
    parse_host,
)

__all__ = [
    "DatabaseURL",
    "Endpoint",
    "Host",
    "URLError",
    "URLProblem",
    "build_endpoint",
    "check_files",
    "parse_host",
    "parse_url",
]
