"""Has every engine recorded that an application creates, without the application's doing.

It knows how SQLAlchemy hands an engine to its plugins. It imports nothing of SQLAlchemy itself: it
runs in the middle of SQLAlchemy's import.
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

    Every way to an engine or pool (create_engine, create_async_engine, engine_from_config,
    create_pool_from_url) asks the URL once for its plugins and shows them the engine in the end;
    one more is added there. So `create_engine` itself stays what it is, under every name and in
    every module that it was imported into, with its signature, tracebacks and pickles. SQLAlchemy
    has no public hook that sees every engine: a dialect's `engine_created` may be overridden, and
    events of pools come too late to see the first connection fail.
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
    """Whether the recording knows the pools of this version of SQLAlchemy."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is not None and OLDEST <= tuple(map(int, numbers.groups())) < TOO_NEW


@functools.cache
def _begin_recording() -> bool:
    """At the first engine: the application has set up its logging, SQLAlchemy knows its version."""
    try:
        version = sys.modules["sqlalchemy"].__version__
        if not is_supported(version):
            _logger.warning("the pools of SQLAlchemy %s are not recorded: %s", version, SUPPORTED)
            return False
        from sqlalchemy.dialects import plugins

        # For ?plugin=pool_metrics: the folder on PYTHONPATH has no entry points.
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
