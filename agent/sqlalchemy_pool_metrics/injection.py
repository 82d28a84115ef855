"""Record every engine that an application creates, without changing the application.

This module runs in the middle of SQLAlchemy's import, so it imports nothing of SQLAlchemy itself.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
from types import ModuleType
from typing import Any

from .faults import log_fault

__all__ = ["attach", "is_supported"]

OLDEST = (2, 0, 36)
TOO_NEW = (2, 2, 0)
SUPPORTED = "2.0.36 or newer is needed, older than 2.2"

_logger = logging.getLogger("sqlalchemy_pool_metrics")


def attach(url_module: ModuleType) -> None:
    """Record the engines created from now on; `url_module` is `sqlalchemy.engine.url`.

    Every function that creates an engine or pool (create_engine, create_async_engine,
    engine_from_config, create_pool_from_url) asks the URL for its plugins and hands them the engine
    at the end. The patch adds a plugin there. `create_engine` itself stays the same function, with
    its signature, tracebacks and pickles, in every module that imported it.

    SQLAlchemy has no public hook for every engine: a dialect may override `engine_created`, and
    pool events come too late to see the first connection fail.
    """
    url_class = url_module.URL
    instantiate = url_class._instantiate_plugins
    if hasattr(instantiate, "_records_metrics"):
        return

    @functools.wraps(instantiate)
    def instantiate_with_recording(url: Any, *args: Any, **kwargs: Any) -> Any:
        is_recorded = _begin_recording()
        instantiated = instantiate(url, *args, **kwargs)
        if is_recorded:
            _add_recording(instantiated)
        return instantiated

    instantiate_with_recording._records_metrics = True  # type: ignore[attr-defined]
    url_class._instantiate_plugins = instantiate_with_recording


def is_supported(version: str) -> bool:
    """Return whether the pools of this version of SQLAlchemy can be recorded."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is not None and OLDEST <= tuple(map(int, numbers.groups())) < TOO_NEW


@functools.cache
def _begin_recording() -> bool:
    """Check SQLAlchemy's version and register the plugin, once; return whether to record.

    Called for the first engine: by then the application has set up its logging, and SQLAlchemy is
    imported completely.
    """
    try:
        version = sys.modules["sqlalchemy"].__version__
        if not is_supported(version):
            _logger.warning("the pools of SQLAlchemy %s are not recorded: %s", version, SUPPORTED)
            return False
        from sqlalchemy.dialects import plugins

        # A folder on PYTHONPATH has no entry points, and ?plugin=pool_metrics needs one.
        plugins.register("pool_metrics", f"{__package__}.plugin", "PoolMetricsPlugin")
    except Exception as fault:
        log_fault("switching the recording on", fault)
        return False
    return True


def _add_recording(instantiated: Any) -> None:
    try:
        from .plugin import EngineRecording

        _, plugins, _ = instantiated
        plugins.append(EngineRecording())
    except Exception as fault:
        log_fault("adding the recording to an engine", fault)
