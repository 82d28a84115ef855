"""TLS, users, headers and rate limit, in the format of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from sqlalchemy_pool_exporter.web_config.file import WebFile, read_web_file
from sqlalchemy_pool_exporter.web_config.schema import RateLimit, WebConfig
from sqlalchemy_pool_exporter.web_config.ssl_context import Pems, build_context
from sqlalchemy_pool_exporter.web_config.tls import is_allowed

__all__ = [
    "Pems",
    "RateLimit",
    "WebConfig",
    "WebFile",
    "build_context",
    "is_allowed",
    "read_web_file",
]
