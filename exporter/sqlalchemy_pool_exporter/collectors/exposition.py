"""How families become the bytes of a scrape: the formats on offer, the choice, the rendering.

The one place that knows a format; it must not know where families come from.
"""

import asyncio
import gzip
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

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


@dataclass(frozen=True, slots=True)
class Preference:
    """One entry of a header: its value in lower case, its weight (0 to 1) and other parameters."""

    value: str
    weight: float
    parameters: Mapping[str, str]


def _build_offer(entry: Preference) -> str:
    offer = _OFFERS.get((entry.value, entry.parameters.get("version", "")), "")
    escaping = entry.parameters.get("escaping", "")
    return f"{offer}; escaping={escaping}" if offer and escaping in _ESCAPINGS else offer


def parse_preferences(header: str) -> list[Preference]:
    """Returns the entries a client wants, most wanted first, in the header's order among equals.

    An entry with the weight 0 is kept: it says what is not wanted. One without a readable weight is
    left out. https://www.rfc-editor.org/rfc/rfc9110#name-quality-values
    """
    entries = (_parse_entry(entry) for entry in header.split(","))
    wanted = [entry for entry in entries if entry and 0 <= entry.weight <= 1]
    return sorted(wanted, key=lambda entry: -entry.weight)


def accepts_gzip(header: str) -> bool:
    """Tells whether an Accept-Encoding header asks for gzip; without the header nobody does."""
    weights = {entry.value: entry.weight for entry in reversed(parse_preferences(header))}
    return weights.get("gzip", weights.get("*", 0)) > 0


def _parse_entry(entry: str) -> Preference | None:
    value, *rest = (part.strip() for part in entry.split(";"))
    pairs = (part.partition("=") for part in rest)
    parameters = {key.strip().lower(): text.strip().strip('"') for key, _, text in pairs}
    try:
        weight = float(parameters.pop("q", "1"))
    except ValueError:
        return None
    return Preference(value.lower(), weight, parameters) if value else None


class RenderQueue:
    """Those who ask for the same while it waits for its turn share one rendering.

    It begins after the last of them has asked, so that nobody gets to see what was before.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting: dict[Hashable, asyncio.Task[bytes]] = {}

    async def render(self, key: Hashable, render: Callable[[], bytes]) -> bytes:
        """Returns what `render` does, called for all with the same key; raises what it raises."""
        if key not in self._waiting:
            self._waiting[key] = asyncio.create_task(self._render(key, render), name="scrape")
        return await asyncio.shield(self._waiting[key])

    async def _render(self, key: Hashable, render: Callable[[], bytes]) -> bytes:
        async with self._turn:
            await asyncio.sleep(0)  # whatever else is to be done has its turn between two
            del self._waiting[key]
            return render()
