"""Turns the text of an error into one line for people, without secrets or values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sqlalchemy import exc

from sqlalchemy_pool_exporter.redaction import escape_unprintable, mask_secrets
from sqlalchemy_pool_metrics.failures.exceptions import iter_exception_chain, read_text

MAX_LENGTH = 300
_ELLIPSIS = "…"
# The lines that PostgreSQL, and others like it, add to a message.
_FURTHER_LINES: Final = re.compile(r"\n(?:DETAIL|HINT|CONTEXT|QUERY|LINE \d+):.*", re.DOTALL)


def build_message(error: BaseException, text: str, secrets: Iterable[str]) -> str:
    """Return the text on one line of at most 300 characters.

    `secrets` are masked in it, as are the SQL parameters of `error`, the outermost one.
    """
    masked = mask_secrets(text, secrets, _read_parameters(error))
    return _shorten(escape_unprintable(" ".join(masked.split())))


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
        # asyncpg shows the first 40 characters of a value that it cannot encode.
        shown = read_text(parameters, repr)
        yield from (read_text(parameters), shown, shown[:40])


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + _ELLIPSIS


def read_first_lines(error: BaseException) -> str:
    """Return an error's text without statements, parameters and values of rows.

    SQLAlchemy appends the statement, its parameters and a link; servers append further lines.
    """
    text: object = error
    if isinstance(error, exc.SQLAlchemyError):
        text = error.args[0] if error.args else ""
    return _FURTHER_LINES.sub("", read_text(text)).strip()
