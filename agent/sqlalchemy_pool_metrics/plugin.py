"""The SQLAlchemy plugin `pool_metrics`, which records the pools of engines that name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import CreateEnginePlugin

from .instrumentation import instrument

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

__all__ = ["EngineRecording", "PoolMetricsPlugin"]

POOL_NAME = "pool_name"


class EngineRecording(CreateEnginePlugin):
    """Records the pool of an engine; takes no arguments."""

    name: str | None = None

    def __init__(self) -> None:
        """Leave the engine's arguments alone: here, `pool_name` may be one of the driver's."""

    def engine_created(self, engine: Engine) -> None:
        """Instrument the engine."""
        instrument(engine, name=self.name)


class PoolMetricsPlugin(EngineRecording):
    """For `?plugin=pool_metrics&pool_name=primary`, and for `plugins=["pool_metrics"]`.

    `pool_name`, in the URL or as an argument of create_engine, becomes the label `pool`. The
    argument wins, and the driver sees neither. The default is that of `instrument()`.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        """Take `pool_name` out of the arguments."""
        names = url.query.get(POOL_NAME, "")
        in_url = names if isinstance(names, str) else names[0]
        self.name = str(kwargs.pop(POOL_NAME, None) or in_url) or None

    def update_url(self, url: URL) -> URL:
        """Return the URL without `pool_name`."""
        return url.difference_update_query([POOL_NAME])
