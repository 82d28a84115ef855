"""Reads exceptions: the chain of those inside, their origins and their texts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Callable

__all__ = ["is_class_of", "iter_exception_chain", "raising_module", "read_text"]


def iter_exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all those within it, outermost first, each once, even in a cycle."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += reversed(_read_inner(current))


def _read_inner(error: BaseException) -> list[BaseException]:
    """Return the errors directly within one: SQLAlchemy's `orig`, the cause, a group's members."""
    context = None if error.__suppress_context__ else error.__context__
    members = getattr(error, "exceptions", ())  # of an ExceptionGroup, since Python 3.11
    found: list[object] = [
        getattr(error, "orig", None),
        error.__cause__,
        *(members if isinstance(members, tuple) else ()),
        context,
    ]
    return [each for each in found if isinstance(each, BaseException)]


def raising_module(error: BaseException) -> str:
    """Return the top-level module whose code raised the error; empty if it was not raised."""
    trace, module = error.__traceback__, ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return _top(module)


def is_class_of(error: BaseException, modules: Collection[str]) -> bool:
    """Return whether the error's class, or one of its bases, is from one of the modules."""
    return any(_top(base.__module__) in modules for base in type(error).__mro__)


def _top(module: str) -> str:
    return module.partition(".")[0]


def read_text(value: object, write: Callable[[object], str] = str) -> str:
    """Return the value as `str` or another function writes it; empty if that raises."""
    try:
        return write(value)
    except Exception:
        return ""
