"""Turns an exception into the reason and the message that the exporter shows for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import Final

from sqlalchemy import exc

from sqlalchemy_pool_exporter.dialects import registry
from sqlalchemy_pool_exporter.failures import Failure, Reason, network
from sqlalchemy_pool_exporter.failures.exceptions import (
    is_class_of,
    iter_exception_chain,
    raising_module,
    read_first_lines,
    read_text,
)
from sqlalchemy_pool_exporter.failures.message import build_message

Classifier = Callable[[BaseException], Reason | None]

# The classes of PEP 249, which each driver defines for itself, and SQLAlchemy for its wrappers.
REASONS_BY_CLASS_NAME: Final = {
    "DataError": Reason.QUERY,
    "IntegrityError": Reason.QUERY,
    "NotSupportedError": Reason.QUERY,
    "ProgrammingError": Reason.QUERY,
    "InterfaceError": Reason.DRIVER,
    "InternalError": Reason.DRIVER,
}


def classify(error: BaseException, secrets: Iterable[str] = ()) -> Failure:
    """Return the reason and message of an error, however it is nested in others.

    The outermost error with an exact reason decides, so that an expired deadline is a timeout
    whatever it interrupted. Only if there is none, the outermost one with a likely reason does.
    `secrets` never appear in the message in any form.
    """
    errors = [each for each in iter_exception_chain(error) if not is_wrapper(each)]
    reason, deciding = _decide(errors)
    message = build_message(error, _choose_text(errors, deciding), secrets)
    return Failure(reason, message or reason.meaning)


def _decide(errors: list[BaseException]) -> tuple[Reason, BaseException | None]:
    """Return the reason and the error that gave it, None if no error did."""
    for classify_one in (classify_exact, classify_heuristic):
        for error in errors:
            if (reason := classify_one(error)) is not None:
                return reason, error
    return Reason.OTHER, None


def _choose_text(errors: list[BaseException], deciding: BaseException | None) -> str:
    """Return the text of the outermost driver's error that has one, else of the deciding error.

    A driver's error names the host, its cause does not. Errors inside the deciding one are ignored.
    """
    if deciding is not None:
        outer = takewhile(lambda each: each is not deciding, errors)
        errors = [*(each for each in outer if classify_heuristic(each) is not None), deciding]
    return next(filter(None, map(describe, errors)), "")


def classify_exact(error: BaseException) -> Reason | None:
    """Return the reason of one error that says exactly what happened."""
    dialects = (dialect.classify_exact for dialect in registry.DIALECTS)
    return _ask((classify_sqlalchemy_error, *dialects, network.classify_exact), error)


def classify_heuristic(error: BaseException) -> Reason | None:
    """Return the likely reason of one error."""
    dialects = (dialect.classify_heuristic for dialect in registry.DIALECTS)
    return _ask((*dialects, classify_class), error)


def _ask(classifiers: Iterable[Classifier], error: BaseException) -> Reason | None:
    return next((found for each in classifiers if (found := each(error)) is not None), None)


def classify_sqlalchemy_error(error: BaseException) -> Reason | None:
    """Return the exact reason of an error that SQLAlchemy itself raises."""
    match error:
        case exc.TimeoutError():
            return Reason.POOL_TIMEOUT
        case exc.NoSuchModuleError() | exc.MissingGreenlet() | ImportError():
            return Reason.DRIVER
    return None


def classify_class(error: BaseException) -> Reason | None:
    """Return the likely reason by an error's class and origin, whatever the driver."""
    match error:
        case exc.InvalidRequestError() | exc.CompileError():
            return Reason.QUERY
    for base in type(error).__mro__:
        if base.__name__ in REASONS_BY_CLASS_NAME:
            return REASONS_BY_CLASS_NAME[base.__name__]
    return Reason.DRIVER if _is_driver_bug(error) or _is_unknown_argument(error) else None


def _is_driver_bug(error: BaseException) -> bool:
    """Return whether a driver failed by a bug, say with an IndexError over invalid data."""
    modules = frozenset().union(*(dialect.driver_modules for dialect in registry.DIALECTS))
    is_meant = isinstance(error, OSError) or is_class_of(error, modules)
    return not is_meant and raising_module(error) in modules


def _is_unknown_argument(error: BaseException) -> bool:
    """Return whether SQLAlchemy called a driver's connect() with a keyword that it lacks."""
    is_call = isinstance(error, TypeError) and raising_module(error) == "sqlalchemy"
    return is_call and "keyword argument" in read_text(error)


def is_wrapper(error: BaseException) -> bool:
    """Return whether SQLAlchemy wrapped another error, with SQL and parameters in the text."""
    return isinstance(error, exc.StatementError) and error.orig is not None


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
