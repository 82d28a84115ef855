"""Reads exceptions: the chain of those inside, their origins and their texts."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Iterator
from typing import Final

from sqlalchemy import exc

# The lines that PostgreSQL, and others like it, add to a message.
_FURTHER_LINES: Final = re.compile(r"\n(?:DETAIL|HINT|CONTEXT|QUERY|LINE \d+):.*", re.DOTALL)


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
    found: list[object] = [
        getattr(error, "orig", None),
        error.__cause__,
        *(error.exceptions if isinstance(error, BaseExceptionGroup) else ()),
        context,
    ]
    return [each for each in found if isinstance(each, BaseException)]


def raising_module(error: BaseException) -> str:
    """Return the top-level module whose code raised the error; empty if it was not raised."""
    modules = [
        str(frame.f_globals.get("__name__", ""))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return _top(modules[-1]) if modules else ""


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


def read_first_lines(error: BaseException) -> str:
    """Return an error's text without statements, parameters and values of rows.

    SQLAlchemy appends the statement, its parameters and a link; servers append further lines.
    """
    text: object = error
    if isinstance(error, exc.SQLAlchemyError):
        text = error.args[0] if error.args else ""
    return _FURTHER_LINES.sub("", read_text(text)).strip()
