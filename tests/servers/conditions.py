"""Waiting for something to become true, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Returns as soon as the condition holds; TimeoutError that names `what` when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still waiting for {what} after {seconds:g} s")
        time.sleep(POLL_SECONDS)
