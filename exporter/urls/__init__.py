"""Database URLs as teams have them, translated for the drivers the exporter runs on."""

from exporter.urls.database_url import DatabaseURL, parse_url
from exporter.urls.errors import HIDDEN, URLError, URLProblem, hide_secret
from exporter.urls.parts import Host

__all__ = ["HIDDEN", "DatabaseURL", "Host", "URLError", "URLProblem", "hide_secret", "parse_url"]
