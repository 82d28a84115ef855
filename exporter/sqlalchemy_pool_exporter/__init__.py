"""Prometheus exporter for SQLAlchemy's connection pools."""

from functools import cache
from typing import Final

DISTRIBUTION: Final = "sqlalchemy-pool-exporter"
# Not the distribution's name: anyone may register that until it is published.
_SOURCE: Final = "./exporter"


@cache
def read_version() -> str:
    """Return the version of the installed distribution, `unknown` for sources run in place."""
    from importlib import metadata

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def describe_install(extra: str) -> str:
    """Return how to install what an extra of the distribution needs."""
    return f"pip install '{_SOURCE}[{extra}]' in a clone of the repository"
