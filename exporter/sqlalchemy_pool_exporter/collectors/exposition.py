"""What a client asks for, and how its answers are made: one at a time."""

import asyncio
import re
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Final

from prometheus_client.core import Metric
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
GZIP: Final = zlib.MAX_WBITS + 16


class Families(Collector):
    """Families as prometheus_client's encoders take them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        yield from self._families


@dataclass(frozen=True, slots=True)
class Exposition:
    """A format.

    Attributes:
        content_type: Its Content-Type.
        encode: prometheus_client's encoder.
        end: The text after all families.
    """

    content_type: str
    encode: Callable[[Collector], bytes] = field(compare=False)
    end: str

    @property
    def escaping(self) -> str:
        """How names are escaped. Formats with the same escaping have the same lines of samples."""
        return self.content_type.partition("escaping=")[2] or "underscores"

    def render(self, families: Iterable[Metric]) -> str:
        """Return prometheus_client's text of the families, without the end."""
        return self.encode(Families(families)).decode().removesuffix(self.end)


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a client asks for: a format, and names of families or samples; without names all."""

    exposition: Exposition
    names: frozenset[str] = frozenset()


@lru_cache(maxsize=64)
def choose_exposition(accept: str) -> Exposition:
    """Return the format that an Accept header prefers, Prometheus' text format when in doubt.

    `choose_encoder` gets one media range instead of the header: it ignores weights, raises
    ValueError for a version that is not a number, and promises versions that do not exist yet
    (prometheus_client 0.22 to 0.26).
    """
    ranges = [(entry, weight) for entry, weight in parse_weights(accept) if _is_supported(entry)]
    preferred, weight = max(ranges, key=lambda each: each[1], default=("", 0))
    encode, content_type = choose_encoder(preferred if weight else "")
    return Exposition(content_type, encode, end=encode(Families(())).decode())


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


@lru_cache(maxsize=64)
def accepts_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding header asks for gzip."""
    weights = dict(parse_weights(header))
    return weights.get("gzip", weights.get("*", 0)) > 0


def compress(body: bytes) -> bytes:
    """Return `body` as gzip. Metrics repeat themselves: a fast level is good enough."""
    compressed: bytes = find_zlib().compress(body, level=1, wbits=GZIP)
    return compressed


@cache
def find_zlib() -> Any:
    """Return isal's zlib, which is ten times as fast, if that extra is installed."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


class RenderQueue:
    """Renders one response at a time; equal requests that wait together share one.

    A rendering begins after the last request that shares it, so that no client gets a state older
    than its request. Other tasks get their turn between two renderings.
    """

    def __init__(self) -> None:
        # Each client waits for a future of its own: one that hangs up cancels no other.
        self._waiting: dict[Hashable, tuple[Callable[[], bytes], list[asyncio.Future[bytes]]]] = {}

    async def render(self, key: Hashable, render: Callable[[], bytes]) -> bytes:
        """Return what `render` returns, called once for all that wait with the same key."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._render_next)
        future: asyncio.Future[bytes] = loop.create_future()
        _, futures = self._waiting.setdefault(key, (render, []))
        futures.append(future)
        return await future

    def _render_next(self) -> None:
        render, futures = self._waiting.pop(next(iter(self._waiting)))
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._render_next)
        asking = [future for future in futures if not future.done()]
        try:
            body = render()
        except Exception as error:
            for future in asking:
                future.set_exception(error)
        else:
            for future in asking:
                future.set_result(body)
