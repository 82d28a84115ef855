"""Errors inside errors: what a library raises is often an envelope around what happened.

It must not know what any of them means.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Iterator
from typing import Final

from sqlalchemy import exc

# The lines that PostgreSQL, and others like it, add to a message.
_FURTHER_LINES: Final = re.compile(r"\n(?:DETAIL|HINT|CONTEXT|QUERY|LINE \d+):.*", re.DOTALL)


def iter_exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yields the error and all within it, outermost first, each once; loops do no harm."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += reversed(_read_inner(current))


def _read_inner(error: BaseException) -> list[BaseException]:
    """Nearest first: the driver's error of SQLAlchemy, the causes, the members of a group."""
    context = None if error.__suppress_context__ else error.__context__
    found: list[object] = [
        getattr(error, "orig", None),
        error.__cause__,
        *(error.exceptions if isinstance(error, BaseExceptionGroup) else ()),
        context,
    ]
    return [each for each in found if isinstance(each, BaseException)]


def raising_module(error: BaseException) -> str:
    """Top-level module of the innermost Python frame; empty for an error nobody raised yet."""
    modules = [
        str(frame.f_globals.get("__name__", ""))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return _top(modules[-1]) if modules else ""


def is_class_of(error: BaseException, modules: Collection[str]) -> bool:
    """True when the class of the error, or one it derives from, belongs to one of the drivers."""
    return any(_top(base.__module__) in modules for base in type(error).__mro__)


def _top(module: str) -> str:
    return module.partition(".")[0]


def read_text(value: object, write: Callable[[object], str] = str) -> str:
    """What `str()` says, or another way to write it; empty when that raises."""
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
