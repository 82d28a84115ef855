"""SQLAlchemy's plugin `pool_metrics`: records the pool of an engine that asks for it by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import CreateEnginePlugin

from .instrumentation import instrument

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

__all__ = ["EngineRecording", "PoolMetricsPlugin"]

POOL_NAME = "pool_name"


class EngineRecording(CreateEnginePlugin):
    """Records the pool of the engine that it is shown, whatever the pool's class; takes nothing."""

    name: str | None = None

    def __init__(self) -> None:
        """Leaves `pool_name` alone: a driver may have an argument of that name."""

    def engine_created(self, engine: Engine) -> None:
        instrument(engine, name=self.name)


class PoolMetricsPlugin(EngineRecording):
    """For `?plugin=pool_metrics&pool_name=primary`, and for `plugins=["pool_metrics"]`.

    `pool_name`, in the URL or as an argument of create_engine, becomes the label `pool`; the
    driver does not see it. The argument wins. Without either the name is that of `instrument()`.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        names = url.query.get(POOL_NAME, "")
        in_url = names if isinstance(names, str) else names[0]
        self.name = str(kwargs.pop(POOL_NAME, None) or in_url) or None

    def update_url(self, url: URL) -> URL:
        return url.difference_update_query([POOL_NAME])
