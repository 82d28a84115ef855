"""Rendering for scrapes, one at a time: a crowd of them holds up nothing else.

It must not know what is rendered. For the event loop's thread.
"""

import asyncio
from collections.abc import Callable, Hashable


class Scrapes:
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
