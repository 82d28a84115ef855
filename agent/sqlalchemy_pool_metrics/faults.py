"""Keep faults of the recording away from the application: log each kind once and continue."""

from __future__ import annotations

import functools
import logging
from typing import Any, Callable

__all__ = ["guarded", "log_fault", "raised_by_application"]

_logger = logging.getLogger("sqlalchemy_pool_metrics")
_seen: set[tuple[str, str]] = set()


def log_fault(where: str, fault: Exception) -> None:
    """Log a fault with its traceback, once per place and type. Never raises."""
    try:
        kind = (where, type(fault).__name__)
        if kind not in _seen:
            _seen.add(kind)
            _logger.error(
                "%s failed, the pool's numbers are wrong from here on", where, exc_info=fault
            )
    except Exception:  # noqa: S110 - the app's own logging handler may raise
        pass


def raised_by_application(fault: BaseException) -> bool:
    """Return whether a signal handler of the application raised this while our code ran.

    Celery's SoftTimeLimitExceeded is such an exception. The application relies on it, so the caller
    must let it through.
    """
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).partition(".")[0] != __name__.partition(".")[0]


def guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Wrap an event listener so that its faults are logged instead of raised.

    SQLAlchemy lets them through: a close or checkin listener that raises loses the pool's slot for
    good, and others break the caller.
    """

    @functools.wraps(hook)
    def swallow(*args: Any) -> None:
        try:
            hook(*args)
        except Exception as fault:
            log_fault(hook.__name__, fault)

    return swallow
