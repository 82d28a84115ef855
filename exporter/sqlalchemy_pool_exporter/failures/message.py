"""Turns the text of an error into one line for people, without secrets or values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import exc

from sqlalchemy_pool_exporter.failures.exceptions import iter_exception_chain, read_text
from sqlalchemy_pool_exporter.redaction import escape_unprintable, mask_secrets

MAX_LENGTH = 300
_ELLIPSIS = "…"


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
