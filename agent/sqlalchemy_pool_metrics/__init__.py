"""Record the metrics of SQLAlchemy's connection pools inside the application.

    from sqlalchemy_pool_metrics import instrument
    instrument(engine, name="primary")

The recording starts no thread, opens no socket and never raises into the application. Names are
imported on first use: the command `export` runs without SQLAlchemy, and the injection runs while
SQLAlchemy is being imported.
"""

from __future__ import annotations  # OpenTelemetry may import this on Python 3.7 and 3.8

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .holders import holder
    from .instrumentation import instrument, read_pool, read_pools
    from .pool import MetricsAsyncAdaptedQueuePool, MetricsQueuePool, metrics_class
    from .snapshot import Histogram, PoolDescription, Snapshot

__all__ = [
    "Histogram",
    "MetricsAsyncAdaptedQueuePool",
    "MetricsQueuePool",
    "PoolDescription",
    "Snapshot",
    "holder",
    "instrument",
    "metrics_class",
    "read_pool",
    "read_pools",
]

__version__ = "0.1.0"

# No name may equal a module's: importing the module would replace the name in this package.
_MODULES = {
    "Histogram": "snapshot",
    "MetricsAsyncAdaptedQueuePool": "pool",
    "MetricsQueuePool": "pool",
    "PoolDescription": "snapshot",
    "Snapshot": "snapshot",
    "holder": "holders",
    "instrument": "instrumentation",
    "metrics_class": "pool",
    "read_pool": "instrumentation",
    "read_pools": "instrumentation",
}

if not TYPE_CHECKING:  # with a __getattr__ a type checker would accept any name

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
