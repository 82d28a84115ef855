"""A limit on how often something may happen: a token bucket; it must not know what happens."""

import time
from collections.abc import Callable

from exporter.web_config import RateLimit


class Bucket:
    """Holds up to `burst` tokens and gets a new one every `interval` seconds."""

    def __init__(self, limit: RateLimit, read_clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._read_clock = read_clock
        self._tokens = float(limit.burst)
        self._filled_at = read_clock()

    def take(self) -> bool:
        """Whether it may happen now; always without an interval."""
        if not self.limit.interval:
            return True
        now = self._read_clock()
        gained = (now - self._filled_at) / self.limit.interval
        self._tokens = min(self._tokens + gained, float(self.limit.burst))
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
