"""A pytest plugin that makes SQLAlchemy's own tests run on the recording pool classes.

Loaded with `-p swapped_pools` it rebinds the names before the tests import them.
"""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    import sqlalchemy
    from sqlalchemy import pool
    from sqlalchemy.pool import impl

    from sqlalchemy_pool_metrics import metrics_class

    for name in (
        "QueuePool",
        "AsyncAdaptedQueuePool",
        "NullPool",
        "StaticPool",
        "SingletonThreadPool",
        "AssertionPool",
    ):
        recording = metrics_class(getattr(impl, name))
        recording.__name__ = name  # a test looks for it in an error message
        for module in (impl, pool, sqlalchemy):
            setattr(module, name, recording)
