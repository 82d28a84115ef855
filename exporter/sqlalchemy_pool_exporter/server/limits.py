"""How much of the exporter clients may use, and for how long."""

import logging
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

# Descriptors that are not for clients: of databases, files and the libraries.
RESERVED = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers, bytes and seconds; see docs/web-config.md."""

    # More than requests: whoever is too many is to read that.
    connections: int = 640
    requests: int = 512
    head_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    # Of answers that wait to be taken, all together.
    unread_bytes: int = 64 * 1024 * 1024
    handshake_seconds: float = 10
    request_seconds: float = 10
    answer_seconds: float = 30
    # How often clients are looked at.
    look_seconds: float = 1

    def fit_descriptors(self) -> Self:
        """Returns the same limits with no more connections than the process can have open."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most == resource.RLIM_INFINITY or most - RESERVED >= self.connections:
            return self
        return replace(self, connections=max(most - RESERVED, 1))


logger = logging.getLogger(__name__)

SECONDS_BETWEEN: Final = 60.0


class Complaints:
    """Of each kind one line a minute; `times` in it is how often it happened since the last."""

    def __init__(self, read_clock: Callable[[], float] = time.monotonic) -> None:
        self._read_clock = read_clock
        self._told_at: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def tell(self, kind: str, client: object = None, **extra: object) -> None:
        """Logs that it happened, now or with a later one; `kind` is one of a few fixed texts."""
        now = self._read_clock()
        self._times[kind] = self._times.get(kind, 0) + 1
        if now - self._told_at.get(kind, -SECONDS_BETWEEN) < SECONDS_BETWEEN:
            return
        self._told_at[kind] = now
        times = self._times.pop(kind)
        logger.warning(kind, extra={"client": client, "times": times, **extra})
