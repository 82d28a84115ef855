"""One engine per configured database, its pool instrumented, used and given up on in time."""

from sqlalchemy_pool_exporter.databases.database import Database
from sqlalchemy_pool_exporter.databases.engine import recreate_pool
from sqlalchemy_pool_exporter.databases.registry import DatabaseRegistry, EnginesError

__all__ = ["Database", "DatabaseRegistry", "EnginesError", "recreate_pool"]
