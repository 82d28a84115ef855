"""Who may ask, as the files of Prometheus' exporter-toolkit say it: TLS, users, headers.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from exporter.web_config.config import WebConfig
from exporter.web_config.context import build_context
from exporter.web_config.names import is_allowed
from exporter.web_config.pems import Pems
from exporter.web_config.rate import RateLimit
from exporter.web_config.reading import WebFile, read_web_file

__all__ = [
    "Pems",
    "RateLimit",
    "WebConfig",
    "WebFile",
    "build_context",
    "find_names",
    "is_allowed",
    "read_web_file",
]
