"""Observe the statements of an engine: what they fail of.

The listener is registered on the engine's dialect. All pools that the engine ever has share it, and
so do the copies of the engine that `execution_options()` returns. A pool knows its dialect, so no
engine is needed to find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Dialect, event

from .failures.classify import classify_statement
from .faults import guarded
from .registry import PROCESS

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext

    from .recorder import Recorder

__all__ = ["observe"]


def observe(pool: Any) -> None:
    """Observe the statements of a pool's engine, once the pool has the engine's dialect."""
    dialect = pool._dialect
    # A pool without an engine has a stand-in, which has no events.
    if isinstance(dialect, Dialect) and _on_error not in list(dialect.dispatch.handle_error):
        event.listen(dialect, "handle_error", _on_error)


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
