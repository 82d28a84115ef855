"""The SQLAlchemy plugin `pool_metrics`, which records the pools of engines that name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import CreateEnginePlugin

from .holders import is_on
from .instrumentation import instrument

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

__all__ = ["EngineRecording", "PoolMetricsPlugin"]

POOL_NAME, POOL_HOLDERS = "pool_name", "pool_holders"


class EngineRecording(CreateEnginePlugin):
    """Records the pool of an engine; takes no arguments."""

    name: str | None = None
    holders: bool | None = None

    def __init__(self) -> None:
        """Leave the engine's arguments alone: here, `pool_name` may be one of the driver's."""

    def engine_created(self, engine: Engine) -> None:
        """Instrument the engine."""
        instrument(engine, name=self.name, holders=self.holders)


class PoolMetricsPlugin(EngineRecording):
    """For `?plugin=pool_metrics&pool_name=primary`, and for `plugins=["pool_metrics"]`.

    `pool_name` becomes the label `pool`, and `pool_holders` switches holders on or off. Both are in
    the URL or arguments of create_engine. The argument wins, and the driver sees neither. The
    defaults are those of `instrument()`.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        """Take `pool_name` and `pool_holders` out of the arguments."""
        self.name = _take(POOL_NAME, url, kwargs) or None
        holders = _take(POOL_HOLDERS, url, kwargs)
        self.holders = is_on(holders, POOL_HOLDERS) if holders else None

    def update_url(self, url: URL) -> URL:
        """Return the URL without `pool_name` and `pool_holders`."""
        return url.difference_update_query([POOL_NAME, POOL_HOLDERS])


def _take(name: str, url: URL, kwargs: dict[str, Any]) -> str:
    """Take an argument out; return it, else the first one of that name in the URL, else ""."""
    in_url = url.query.get(name, "")
    argument = kwargs.pop(name, None)
    first = in_url if isinstance(in_url, str) else in_url[0]
    return first if argument in (None, "") else str(argument)
