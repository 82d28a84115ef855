"""Metrics of SQLAlchemy's connection pools, recorded inside the application.

    from sqlalchemy_pool_metrics import instrument
    instrument(engine, name="primary")

It starts no thread, opens no socket and never raises into the application.
"""

from .instrument import instrument, read_pool, read_pools
from .layout import Histogram, PoolDescription, Snapshot
from .pool import MetricsAsyncAdaptedQueuePool, MetricsQueuePool, metrics_class

__all__ = [
    "Histogram",
    "MetricsAsyncAdaptedQueuePool",
    "MetricsQueuePool",
    "PoolDescription",
    "Snapshot",
    "instrument",
    "metrics_class",
    "read_pool",
    "read_pools",
]
