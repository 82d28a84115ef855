"""Listeners for pool events that the overrides in `pool` cannot see: invalidations and closes.

They are registered per pool, and SQLAlchemy copies them to the pool that replaces it. None listens
to checkouts or checkins: a Python listener there would cost 3 to 15 % of a checkout.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import ref

from sqlalchemy import event, exc
from sqlalchemy.pool import QueuePool

from .faults import guarded
from .registry import PROCESS

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, Pool

    from .recorder import Recorder

__all__ = ["DISPOSING", "attach"]

DISPOSING: ContextVar[ref[Pool] | None] = ContextVar(
    "sqlalchemy_pool_metrics_disposing", default=None
)
"""The pool that this thread or task disposes of. Others may close connections for other reasons."""


def attach(pool: Pool) -> None:
    """Listen to a pool's events, unless it has the listeners of the pool that it replaces."""
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
        return "reset_failed"  # SQLAlchemy resets a returned connection in that function
    return "invalidated"


def _close_reason(pool: Any, record: Any, recorder: Recorder) -> str:
    """Return why a connection that was not invalidated closes.

    The checks, and their order, are those of SQLAlchemy's _ConnectionRecord.get_connection(). In a
    pool without a queue, a connection that closes while it is idle found no room; for queues see
    `note_overflow`.
    """
    disposing = DISPOSING.get()
    if disposing is not None and disposing() is pool:
        return "dispose"
    if recorder.state(record).idle and not isinstance(pool, QueuePool):
        return "overflow"
    if -1 < pool._recycle < time.time() - record.starttime:
        return "recycle"
    if pool._invalidate_time > record.starttime:
        return "pool_invalidated"
    if record._soft_invalidate_time > record.starttime:
        return "soft_invalidated"
    return "other"


def _pool(record: Any) -> Any:
    return record._ConnectionRecord__pool  # the only way to it; the same from 2.0.0 to 2.1.9


def _recorder(record: ConnectionPoolEntry) -> Recorder:
    PROCESS.check_for_fork()
    recorder: Recorder = _pool(record)._recorder
    return recorder
