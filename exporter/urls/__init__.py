"""Database URLs as teams have them, translated for the drivers the exporter runs on."""

from exporter.urls.database_url import DatabaseURL, parse_url
from exporter.urls.endpoint import Endpoint, build_endpoint
from exporter.urls.errors import HIDDEN, URLError, URLProblem, hide_secret
from exporter.urls.parameters import check_files
from exporter.urls.parts import Host, parse_host

__all__ = [
    "HIDDEN",
    "DatabaseURL",
    "Endpoint",
    "Host",
    "URLError",
    "URLProblem",
    "build_endpoint",
    "check_files",
    "hide_secret",
    "parse_host",
    "parse_url",
]
