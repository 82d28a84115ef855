"""What comes out of translating a URL for a driver.

It knows no driver.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy_pool_exporter.urls.parameters import Parameters
from sqlalchemy_pool_exporter.urls.parts import Host, URLParts


@dataclass(frozen=True, slots=True, repr=False)
class Translation:
    """A URL's parts after its parameters were read, and what of these reaches the driver.

    `query` stays in the SQLAlchemy URL, `connect_args` are the driver's arguments. `host` is the
    one host of the SQLAlchemy URL (None where `query` or `connect_args` hold the hosts), `file`
    stands there instead of the database.
    """

    parts: URLParts
    query: Mapping[str, str] = field(default_factory=dict)
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    host: Host | None = None
    file: str | None = None

    def with_password(self, password: str) -> "Translation":
        return replace(self, parts=replace(self.parts, password=password))


def translate_as_is(parts: URLParts, parameters: Parameters) -> Translation:
    """For dialects nothing is known about: SQLAlchemy hands the parameters to the driver."""
    if len(parts.hosts) > 1:
        parameters.reject("host", ",".join(map(str, parts.hosts)), "one host")
    query = dict(parameters.list_items())
    parameters.finish(parts.backend, query)
    return Translation(parts, query, host=parts.hosts[0] if parts.hosts else None)
