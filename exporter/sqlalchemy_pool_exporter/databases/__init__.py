"""The configured databases: an engine with an instrumented pool each, used within deadlines."""

from sqlalchemy_pool_exporter.databases.database import Database
from sqlalchemy_pool_exporter.databases.engine import recreate_pool
from sqlalchemy_pool_exporter.databases.registry import DatabaseRegistry, EnginesError

__all__ = ["Database", "DatabaseRegistry", "EnginesError", "recreate_pool"]
