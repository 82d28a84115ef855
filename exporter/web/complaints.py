"""Warnings about clients, which could otherwise fill the log.

It knows no client: whoever complains says what about.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

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
