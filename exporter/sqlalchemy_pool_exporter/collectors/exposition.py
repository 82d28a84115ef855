"""Turn families into the body of a scrape: choose its format, and render one at a time."""

import asyncio
import gzip
import re
from collections.abc import Callable, Hashable, Mapping, Set
from dataclasses import dataclass
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

# The media ranges that can be answered, with the versions that a client may ask for.
_VERSIONS: Final[Mapping[str, Set[str]]] = {
    "application/openmetrics-text": {"1.0.0"},
    "text/plain": {"0.0.4", "1.0.0"},
    "text/*": set(),
    "*/*": set(),
}
_WEIGHT: Final = re.compile(";q=([^;]*)")


@dataclass(frozen=True, slots=True)
class Exposition:
    """A format: its Content-Type and the function that renders the families of a collector."""

    content_type: str
    render: Callable[[Collector], bytes]


def choose_exposition(accept: str) -> Exposition:
    """Return the format that an Accept header prefers, Prometheus' text format when in doubt.

    `choose_encoder` gets one media range instead of the header: it ignores weights, raises
    ValueError for a version that is not a number, and promises versions that do not exist yet
    (prometheus_client 0.22 to 0.26).
    """
    ranges = [(entry, weight) for entry, weight in parse_weights(accept) if _is_supported(entry)]
    preferred, weight = max(ranges, key=lambda each: each[1], default=("", 0))
    encoder, content_type = choose_encoder(preferred if weight else "")
    return Exposition(content_type, encoder)


def _is_supported(media_range: str) -> bool:
    media_type, *parameters = media_range.split(";")
    versions = {each[8:] for each in parameters if each.startswith("version=")}
    return media_type in _VERSIONS and versions <= _VERSIONS[media_type]


def parse_weights(header: str) -> list[tuple[str, float]]:
    """Return each entry of an Accept header, normalised, with its weight from 0 to 1.

    An entry without a valid weight is left out.
    https://www.rfc-editor.org/rfc/rfc9110#name-quality-values
    """
    weights = []
    for entry in re.sub(r'[\s"]', "", header.lower()).split(","):
        match = _WEIGHT.search(entry)
        try:
            weight = float(match[1]) if match else 1.0
        except ValueError:
            continue
        if 0 <= weight <= 1:
            weights.append((_WEIGHT.sub("", entry), weight))
    return weights


def accepts_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding header asks for gzip."""
    weights = dict(parse_weights(header))
    return weights.get("gzip", weights.get("*", 0)) > 0


def compress(body: bytes) -> bytes:
    """Return `body` as gzip. Metrics repeat themselves: the fastest level is good enough."""
    return gzip.compress(body, compresslevel=1, mtime=0)


class RenderQueue:
    """Renders one response at a time; equal requests that wait together share one.

    A rendering begins after the last request that shares it, so that no client gets a state older
    than its request.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting: dict[Hashable, asyncio.Task[bytes]] = {}

    async def render(self, key: Hashable, render: Callable[[], bytes]) -> bytes:
        """Return what `render` returns, called once for all that wait with the same key."""
        if key not in self._waiting:
            self._waiting[key] = asyncio.create_task(self._render(key, render), name="scrape")
        # A client that hangs up must not cancel the rendering that others wait for.
        return await asyncio.shield(self._waiting[key])

    async def _render(self, key: Hashable, render: Callable[[], bytes]) -> bytes:
        async with self._turn:
            await asyncio.sleep(0)  # other tasks get their turn between two renderings
            del self._waiting[key]
            return render()
