"""Turns an exception into the reason and the message that the exporter shows for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

from sqlalchemy import exc

from sqlalchemy_pool_exporter.dialects import registry
from sqlalchemy_pool_exporter.failures import MEANINGS, Failure
from sqlalchemy_pool_exporter.failures.message import build_message, read_first_lines
from sqlalchemy_pool_exporter.failures.reason import broaden
from sqlalchemy_pool_metrics.failures.classify import (
    classify_heuristic,
    find_reason,
    list_errors,
)


def classify(error: BaseException, secrets: Iterable[str] = ()) -> Failure:
    """Return the reason and message of an error, however it is nested in others.

    `secrets` never appear in the message in any form.
    """
    errors = list_errors(error)
    found, deciding = find_reason(errors, registry.DIALECTS)
    reason = broaden(found)
    message = build_message(error, _choose_text(errors, deciding), secrets)
    return Failure(reason, message or MEANINGS[reason])


def _choose_text(errors: Sequence[BaseException], deciding: BaseException | None) -> str:
    """Return the text of the outermost driver's error that has one, else of the deciding error.

    A driver's error names the host, its cause does not. Errors inside the deciding one are ignored.
    """
    if deciding is not None:
        outer = takewhile(lambda each: each is not deciding, errors)
        likely = (each for each in outer if classify_heuristic(each, registry.DIALECTS))
        errors = [*likely, deciding]
    return next(filter(None, map(describe, errors)), "")


def describe(error: BaseException) -> str:
    """Return the text of one error with its code, to search for; empty if it has none."""
    texts: Iterator[str | None] = (each.describe_error(error) for each in registry.DIALECTS)
    if (text := next(filter(None, texts), None)) is not None:
        return text
    text = read_first_lines(error)
    return text if not text or _speaks_for_itself(error) else f"{type(error).__name__}: {text}"


def _speaks_for_itself(error: BaseException) -> bool:
    """Return False for errors like KeyError, whose text says little without the class."""
    names = {base.__name__ for base in type(error).__mro__}
    is_ours = type(error).__module__.startswith("sqlalchemy_pool_exporter.")
    is_readable = isinstance(error, OSError | exc.SQLAlchemyError)
    return is_ours or is_readable or not names.isdisjoint({"DatabaseError", "Error"})
