"""Prometheus exporter for SQLAlchemy's connection pools."""

from functools import cache
from typing import Final

DISTRIBUTION: Final = "sqlalchemy-pool-exporter"


@cache
def read_version() -> str:
    """Return the version of the installed distribution, `unknown` for sources run in place."""
    from importlib import metadata

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
