"""Renewing the settings of a running exporter: when, one time after the other, and how it went.

It must not know what settings hold, nor how they are put into use.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from exporter.engines import EnginesError
from exporter.settings import Settings, SettingsErrors
from exporter.watch import INTERVAL_SECONDS, Watch

logger = logging.getLogger(__name__)

READ_SECONDS: Final = 10.0


class ReloadError(Exception):
    """The settings in use stay; its text has a line for each problem and no secrets."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings come from: how to read them, and the files that they are read from.

    Both block, and are called in a thread; `load` raises SettingsErrors, `list_files` nothing.
    `interval_seconds` is how often it is looked whether the files have changed.
    """

    load: Callable[[], Settings]
    list_files: Callable[[], Iterable[Path]]
    interval_seconds: float = INTERVAL_SECONDS


# Puts the settings of a source into use and says what changed. Raises what its parts raise.
Renew: TypeAlias = Callable[[], Awaitable[str]]


class Reloads:
    """Reloads on request, and when files are no longer what they were when this was built.

    `is_successful` tells about the last attempt; `succeeded_at` is when settings were last put into
    use, in unix seconds.
    """

    def __init__(self, renew: Renew, source: Source) -> None:
        self.is_successful = True
        self.succeeded_at = time.time()
        self._renew = renew
        self._turn = asyncio.Lock()
        self._watch = Watch(source.list_files, self._reload_for_a_change, source.interval_seconds)
        self._watch.look()

    async def reload(self) -> str:
        """Puts the settings into use that the source has now; returns what changed, for people.

        Raises ReloadError when they cannot be used; what was in use stays in use.
        """
        async with self._turn:
            try:
                change = await self._renew()
            except (SettingsErrors, EnginesError, TimeoutError, ReloadError) as error:
                text = str(error) or f"its files could not be read within {READ_SECONDS:g} s"
                self._note_failure(text)
                raise ReloadError(text) from None
            except Exception as error:
                self.is_successful = False
                logger.exception("configuration not reloaded")
                raise ReloadError("an error of the exporter's own, see its log") from error
            self.is_successful = True
            self.succeeded_at = time.time()
        logger.info("configuration reloaded: %s", change)
        return change

    def _note_failure(self, text: str) -> None:
        self.is_successful = False
        for line in text.splitlines():
            logger.error("configuration not reloaded: %s", line)

    async def reload_quietly(self) -> None:
        """Reloads for nobody who waits for the outcome: the log and the metrics tell it."""
        with suppress(ReloadError):
            await self.reload()

    async def _reload_for_a_change(self) -> None:
        logger.info("configuration files changed")
        await self.reload_quietly()

    async def watch(self) -> None:
        """Reloads whenever a file of the source has changed, until cancelled."""
        await self._watch.run()

    def __repr__(self) -> str:
        return f"<Reloads {'successful' if self.is_successful else 'failed'}>"
