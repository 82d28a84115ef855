"""The pool events that the overrides in `pool` cannot see: invalidations and why a close happens.

None of them is on the path of an ordinary checkout, where a Python listener costs 3 to 15 %.
They are registered per pool, and SQLAlchemy carries them over to the pool's successors.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import ref

from sqlalchemy import event, exc

from .faults import guarded
from .registry import PROCESS

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, Pool

    from .recorder import Recorder

__all__ = ["DISPOSING", "attach"]

DISPOSING: ContextVar[ref[Pool] | None] = ContextVar(
    "sqlalchemy_pool_metrics_disposing", default=None
)
"""The pool that this thread or task is disposing of; others may close for other reasons."""


def attach(pool: Pool) -> None:
    """Listen to the events of a pool, unless it has the listeners from the pool it replaces."""
    for name, listener in _LISTENERS.items():
        if listener not in list(getattr(pool.dispatch, name)):
            event.listen(pool, name, listener)


@guarded
def _on_invalidate(_: Any, record: ConnectionPoolEntry, error: BaseException | None) -> None:
    recorder = _recorder(record)
    recorder.count("invalidations_hard")
    recorder.state(record).closing = _invalidation_reason(error)


@guarded
def _on_soft_invalidate(_: Any, record: ConnectionPoolEntry, __: BaseException | None) -> None:
    _recorder(record).count("invalidations_soft")


@guarded
def _on_close(_: Any, record: ConnectionPoolEntry) -> None:
    recorder = _recorder(record)
    recorder.record_close(record, _close_reason(_pool(record), record, recorder))


_LISTENERS = {
    "invalidate": _on_invalidate,
    "soft_invalidate": _on_soft_invalidate,
    "close": _on_close,
}


def _invalidation_reason(error: BaseException | None) -> str:
    if isinstance(error, exc.DisconnectionError):
        return "pre_ping"  # SQLAlchemy's ping, or a checkout listener that pings
    trace = error.__traceback__ if error is not None else None
    if trace is not None and trace.tb_frame.f_code.co_name == "_finalize_fairy":
        return "reset_failed"  # where SQLAlchemy resets a connection that comes back
    return "invalidated"


def _close_reason(pool: Any, record: Any, recorder: Recorder) -> str:
    """Why a connection closes that nobody invalidated, as _ConnectionRecord.get_connection decides.

    A connection that closes while it is idle is one that the pool has no place for.
    """
    disposing = DISPOSING.get()
    if disposing is not None and disposing() is pool:
        return "dispose"
    if recorder.state(record).idle:
        return "overflow"
    if -1 < pool._recycle < time.time() - record.starttime:
        return "recycle"
    if pool._invalidate_time > record.starttime:
        return "pool_invalidated"
    if record._soft_invalidate_time > record.starttime:
        return "soft_invalidated"
    return "other"


def _pool(record: Any) -> Any:
    return record._ConnectionRecord__pool


def _recorder(record: ConnectionPoolEntry) -> Recorder:
    PROCESS.check_for_fork()
    recorder: Recorder = _pool(record)._recorder
    return recorder
