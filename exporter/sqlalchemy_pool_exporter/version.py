"""The version of the installed distribution; it knows nothing else of it."""

from functools import cache
from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "sqlalchemy-pool-exporter"


@cache
def read_version() -> str:
    """Returns the version, `unknown` for sources that were never installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
