"""One line about an error for a person at 3 a.m.: what the server or the network said, no more.

It must not decide on reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import exc

from sqlalchemy_pool_exporter.failures.exceptions import iter_exception_chain, read_text
from sqlalchemy_pool_exporter.redaction import mask_secrets, mask_words

MAX_LENGTH = 300
_ELLIPSIS = "…"


def build_message(error: BaseException, text: str, secrets: Iterable[str]) -> str:
    """The text on one line of at most 300 characters, without secrets and SQL parameters.

    `error` is the outermost one, in which the parameters are found.
    """
    masked = mask_words(mask_secrets(text, secrets), _read_parameters(error))
    return _shorten(" ".join(_print(masked).split()))


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
