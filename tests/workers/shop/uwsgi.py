"""The shop under uWSGI, which forks without Python's fork hooks."""

from __future__ import annotations

from tests.workers.shop import sales
from tests.workers.shop.wsgi import application

__all__ = ["application"]

try:
    from uwsgidecorators import postfork  # type: ignore[import-untyped]
except ImportError:  # there is no module `uwsgi` outside of it
    ...
else:
    postfork(sales.begin_worker)
