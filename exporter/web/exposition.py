"""How families become the bytes of a scrape: the formats on offer, the choice, the rendering.

The one place that knows a format; it must not know where families come from.
"""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from exporter.web.negotiation import Preference, parse_preferences

_OPENMETRICS: Final = "application/openmetrics-text"
_TEXT: Final = "text/plain"
_ESCAPINGS: Final = frozenset({"allow-utf-8", "underscores", "dots", "values"})
# What a media range and its version (none: empty) ask for, as choose_encoder is to see it.
_OFFERS: Final[Mapping[tuple[str, str], str]] = {
    (_OPENMETRICS, "1.0.0"): f"{_OPENMETRICS}; version=1.0.0",
    (_OPENMETRICS, ""): f"{_OPENMETRICS}; version=1.0.0",
    (_TEXT, "1.0.0"): f"{_TEXT}; version=1.0.0",
    (_TEXT, "0.0.4"): _TEXT,
    (_TEXT, ""): _TEXT,
    ("text/*", ""): _TEXT,
    ("*/*", ""): _TEXT,
}


@dataclass(frozen=True, slots=True)
class Exposition:
    """A format: its Content-Type and the function that renders the families of a collector."""

    content_type: str
    render: Callable[[Collector], bytes]


def choose_exposition(accept: str) -> Exposition:
    """Returns the format an Accept header wants most, the Prometheus text format when in doubt.

    prometheus_client reads the versions it is sent without checking them and ignores weights; it
    therefore gets one offer of ours instead of the header.
    """
    offers = (_build_offer(entry) for entry in parse_preferences(accept) if entry.weight)
    encoder, content_type = choose_encoder(next((offer for offer in offers if offer), ""))
    return Exposition(content_type, encoder)


def compress(body: bytes) -> bytes:
    """Returns `body` as gzip; metrics repeat themselves, so that the fastest level does well."""
    return gzip.compress(body, compresslevel=1, mtime=0)


def _build_offer(entry: Preference) -> str:
    offer = _OFFERS.get((entry.value, entry.parameters.get("version", "")), "")
    escaping = entry.parameters.get("escaping", "")
    return f"{offer}; escaping={escaping}" if offer and escaping in _ESCAPINGS else offer
