"""Translates SQLite URLs so that a file that does not exist is an error, not a new database.

It must not open the file.
"""

from typing import Final
from urllib.parse import quote

from sqlalchemy_pool_exporter.redaction import MASK
from sqlalchemy_pool_exporter.urls.parameters import Parameters
from sqlalchemy_pool_exporter.urls.parts import URLError, URLParts
from sqlalchemy_pool_exporter.urls.translation import Translation

MEMORY: Final = ":memory:"
DRIVER_PARAMETERS: Final = (
    *("timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"),
)
# https://www.sqlite.org/uri.html
URI_PARAMETERS: Final = ("mode", "cache", "immutable", "nolock", "psow", "vfs", "modeof")


def translate_for_sqlite(parts: URLParts, parameters: Parameters) -> Translation:
    """Opens files with mode=rw; `uri=true` URLs and databases in memory stay as they are."""
    if parts.hosts or parts.username:
        raise URLError.of(
            f"sqlite://{MASK}", "sqlite:///relative.db, sqlite:////absolute.db or sqlite://"
        )
    is_uri = parameters.get_bool("uri")
    known = {"uri", *DRIVER_PARAMETERS, *(URI_PARAMETERS if is_uri else ())}
    parameters.get_seconds("timeout")
    parameters.get_bool("check_same_thread")
    parameters.finish("SQLite", known)
    query = dict(parameters.list_items())
    if is_uri or parts.database in (None, MEMORY):
        return Translation(parts, query)
    file = f"file:{quote(parts.database or '')}"
    return Translation(parts, {**query, "uri": "true", "mode": "rw"}, file=file)
