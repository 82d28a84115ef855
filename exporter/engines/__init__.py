"""One engine per configured database, its pool instrumented, used and given up on in time."""

from exporter.engines.database import Database
from exporter.engines.pools import recreate_pool
from exporter.engines.registry import EngineRegistry, EnginesError

__all__ = ["Database", "EngineRegistry", "EnginesError", "recreate_pool"]
