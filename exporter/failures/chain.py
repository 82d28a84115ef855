"""Errors inside errors: what a library raises is often an envelope around what happened.

It must not know what any of them means.
"""

from __future__ import annotations

from collections.abc import Iterator


def walk(error: BaseException) -> Iterator[BaseException]:
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
