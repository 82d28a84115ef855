"""Wait for a condition without blocking the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns as soon as the condition holds; TimeoutError when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - threads and servers set no asyncio.Event
            await asyncio.sleep(0.005)
