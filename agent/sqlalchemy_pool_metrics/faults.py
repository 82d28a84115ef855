"""What stands between a fault of ours and the application: it is logged once and swallowed."""

from __future__ import annotations

import functools
import logging
from typing import Any, Callable

__all__ = ["guarded", "log_fault", "raised_by_application"]

_logger = logging.getLogger("sqlalchemy_pool_metrics")
_seen: set[tuple[str, str]] = set()


def log_fault(where: str, fault: Exception) -> None:
    """Log one line with its traceback per place and kind of fault; never raises."""
    try:
        kind = (where, type(fault).__name__)
        if kind not in _seen:
            _seen.add(kind)
            _logger.error(
                "%s failed, the pool's numbers are off from here on", where, exc_info=fault
            )
    except Exception:  # noqa: S110 - a logging handler of the app that raises must not reach the app
        pass


def raised_by_application(fault: BaseException) -> bool:
    """Whether a signal handler of the application raised it while our code ran.

    As celery's SoftTimeLimitExceeded: it is on its way to the application, which waits for it.
    """
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).partition(".")[0] != __name__.partition(".")[0]


def guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Make an event listener swallow its own faults."""

    @functools.wraps(hook)
    def swallow(*args: Any) -> None:
        try:
            hook(*args)
        except Exception as fault:
            log_fault(hook.__name__, fault)

    return swallow
