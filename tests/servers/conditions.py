"""Wait until a condition holds, instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Return as soon as the condition holds; raises TimeoutError with `what` if it does not.

    The pauses between two looks grow with the time waited, because most looks cost a request.
    """
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        if waited > seconds:
            raise TimeoutError(f"still waiting for {what} after {seconds:g} s")
        time.sleep(min(max(SHORTEST_PAUSE, waited / 10), LONGEST_PAUSE))
