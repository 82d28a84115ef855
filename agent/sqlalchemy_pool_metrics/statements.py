"""Observe the statements of an engine: how long they run, and what they fail of.

Both hooks are on the engine's dialect. All pools that the engine ever has share it, and so do the
copies of the engine that `execution_options()` returns. A pool knows its dialect, so no engine is
needed to find it.

The methods of the dialect that wait for the server are wrapped, on this one object. Listeners to
`before_cursor_execute` and `after_cursor_execute` would cost several times as much, because
SQLAlchemy then calls every event of the engine. They would also miss the end of a statement when
another listener raises.
"""

from __future__ import annotations

import functools
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable

from sqlalchemy import Dialect, event

from .failures.classify import classify_statement
from .faults import guarded, log_fault, raised_by_application
from .registry import PROCESS

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext

    from .recorder import Recorder

__all__ = ["observe"]

_STATE = "_connection_record._pool_metrics"
"""Where the caller's proxy of a connection has the connection's state."""
_of_proxy = attrgetter(_STATE)
_of_context = attrgetter(f"_dbapi_connection.{_STATE}")
# All of them take the connection's proxy, or the context of the execution, as the last argument.
# Not do_rollback(), which every return of a connection calls: it would cost a tenth of a checkout.
_METHODS = {
    "do_execute": _of_context,
    "do_executemany": _of_context,
    "do_execute_no_params": _of_context,
    "do_commit": _of_proxy,
}


def observe(pool: Any) -> None:
    """Observe the statements of a pool's engine, once the pool has the engine's dialect."""
    dialect = pool._dialect
    # A pool without an engine has a stand-in, which has no events.
    if isinstance(dialect, Dialect) and _on_error not in list(dialect.dispatch.handle_error):
        event.listen(dialect, "handle_error", _on_error)
        for name, find in _METHODS.items():
            setattr(dialect, name, _time(getattr(dialect, name), find))


def _time(call: Callable[..., Any], find: Callable[[Any], Any]) -> Callable[..., Any]:
    """Wrap a method of a dialect: its connection is busy while the method runs."""

    # Few calls: when a server has answered, little of the code is still in the processor's caches.
    @functools.wraps(call)
    def timed(*args: Any, **kwargs: Any) -> Any:
        since_ns = 0
        try:
            if not PROCESS.up_to_date[0]:
                PROCESS.run_maintenance()
            state = find(args[-1])
            since_ns = state.recorder.begin_statement(state)
        except AttributeError:  # a detached connection, or one of a pool that does not record
            pass
        except Exception as fault:
            if raised_by_application(fault):
                raise
            log_fault("recording a statement", fault)
        try:
            return call(*args, **kwargs)
        finally:
            if since_ns:
                try:
                    state.recorder.end_statement(state, since_ns)
                except Exception as fault:
                    if raised_by_application(fault):
                        raise
                    log_fault("recording the end of a statement", fault)

    return timed


@guarded
def _on_error(context: ExceptionContext) -> None:
    # Without a connection it is an attempt to open one, which the pool counts, or a pre-ping.
    if context.connection is None or context.engine is None:
        return
    PROCESS.check_for_fork()
    recorder: Recorder | None = getattr(context.engine.pool, "_recorder", None)
    if recorder is not None:
        reason = classify_statement(context.original_exception, context.is_disconnect)
        recorder.count(f"statement_failures_{reason}")
