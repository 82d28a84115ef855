"""The text of database URLs: their parts and parameters, the same for every dialect."""

from sqlalchemy_pool_exporter.urls.parameters import Parameters
from sqlalchemy_pool_exporter.urls.parts import (
    Host,
    URLError,
    URLParts,
    URLProblem,
    collect_secrets,
    has_variable,
    is_variable,
    malformed,
    parse_host,
    split_url,
)

__all__ = [
    "Host",
    "Parameters",
    "URLError",
    "URLParts",
    "URLProblem",
    "collect_secrets",
    "has_variable",
    "is_variable",
    "malformed",
    "parse_host",
    "split_url",
]
