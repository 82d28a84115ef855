"""One line about an error for a person at 3 a.m.: what the server or the network said, no more.

It must not decide on reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import exc

from sqlalchemy_pool_exporter.failures import mysql, postgresql
from sqlalchemy_pool_exporter.failures.exceptions import iter_exception_chain, read_text
from sqlalchemy_pool_exporter.redaction import mask_secrets, mask_words

MAX_LENGTH = 300
_ELLIPSIS = "…"
# PostgreSQL's further lines: the statement, its parameters, the values of a row.
_FURTHER_LINES = re.compile(r"\n(?:DETAIL|HINT|CONTEXT|QUERY|LINE \d+):.*", re.DOTALL)
_SPEAKING_CLASSES = (OSError, exc.SQLAlchemyError)


def build_message(error: BaseException, text: str, secrets: Iterable[str]) -> str:
    """The text on one line of at most 300 characters, without secrets and SQL parameters.

    `error` is the outermost one, in which the parameters are found.
    """
    masked = mask_words(mask_secrets(text, secrets), _read_parameters(error))
    return _shorten(" ".join(_print(masked).split()))


def describe(error: BaseException) -> str:
    """What the error says, with its code for a search; empty when it says nothing."""
    number, state = mysql.read_number(error), postgresql.read_sqlstate(error)
    if number is not None and len(error.args) > 1:
        return f"{read_text(error.args[1])} (error {number})"
    text = _FURTHER_LINES.sub("", _read_own_text(error)).strip()
    if not text:
        return ""
    if state is not None:
        return f"{text} (SQLSTATE {state})"
    return text if _speaks_for_itself(error) else f"{type(error).__name__}: {text}"


def _read_own_text(error: BaseException) -> str:
    """SQLAlchemy appends the statement, its parameters and a link to what it has to say."""
    if isinstance(error, exc.SQLAlchemyError):
        return read_text(error.args[0]) if error.args else ""
    return read_text(error)


def _speaks_for_itself(error: BaseException) -> bool:
    """False for errors like KeyError, whose text says little without the class."""
    names = {base.__name__ for base in type(error).__mro__}
    is_ours = type(error).__module__.startswith("sqlalchemy_pool_exporter.")
    return (
        is_ours
        or isinstance(error, _SPEAKING_CLASSES)
        or "DatabaseError" in names
        or "Error" in names
    )


def _read_parameters(error: BaseException) -> Iterator[str]:
    for inner in iter_exception_chain(error):
        if isinstance(inner, exc.StatementError):
            yield from _flatten(inner.params)


def _flatten(parameters: object) -> Iterator[str]:
    if isinstance(parameters, Mapping):
        parameters = list(parameters.values())
    if isinstance(parameters, list | tuple):
        for each in parameters:
            yield from _flatten(each)
    elif parameters is not None:
        # asyncpg shows the first 40 characters of what it cannot encode.
        shown = read_text(parameters, repr)
        yield from (read_text(parameters), shown, shown[:40])


def _print(text: str) -> str:
    """A server that answers garbage must not write control characters into a log."""
    return "".join(each if each.isprintable() else " " for each in text)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + _ELLIPSIS
