"""Finds the reason of any exception, however it is nested in others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple, Optional, Protocol

from sqlalchemy import exc

from . import mysql, network, postgresql, sqlite
from .exceptions import is_class_of, iter_exception_chain, raising_module, read_text
from .reason import Reason

__all__ = [
    "DIALECTS",
    "Classifier",
    "DialectErrors",
    "classify",
    "classify_class",
    "classify_heuristic",
    "classify_sqlalchemy_error",
    "classify_statement",
    "find_no_reason",
    "find_reason",
    "is_wrapper",
    "list_errors",
]

Classifier = Callable[[BaseException], Optional[Reason]]


class DialectErrors(Protocol):
    """What is known about the errors of one kind of database."""

    @property
    def driver_modules(self) -> frozenset[str]:
        """The top-level modules that define or raise the drivers' errors."""

    @property
    def classify_exact(self) -> Classifier:
        """Returns the reason of an error that says exactly what happened."""

    @property
    def classify_heuristic(self) -> Classifier:
        """Returns the likely reason of one that does not."""


def find_no_reason(_error: BaseException) -> Reason | None:
    """Return None: the error belongs to no known dialect."""
    return None


class _Errors(NamedTuple):
    driver_modules: frozenset[str]
    classify_exact: Classifier
    classify_heuristic: Classifier = find_no_reason


# The first dialect that classifies an error decides. MySQL comes before PostgreSQL: its drivers'
# errors have an SQLSTATE, too, which says less than MySQL's number.
DIALECTS: tuple[DialectErrors, ...] = (
    _Errors(mysql.DRIVER_MODULES, mysql.classify_exact, mysql.classify_heuristic),
    _Errors(postgresql.DRIVER_MODULES, postgresql.classify_exact, postgresql.classify_heuristic),
    _Errors(sqlite.DRIVER_MODULES, sqlite.classify_exact),
)

# The classes of PEP 249, which each driver defines for itself, and SQLAlchemy for its wrappers.
_BY_CLASS_NAME = {
    "DataError": Reason.QUERY,
    "IntegrityError": Reason.OTHER,
    "NotSupportedError": Reason.QUERY,
    "ProgrammingError": Reason.QUERY,
    "InterfaceError": Reason.DRIVER,
    "InternalError": Reason.DRIVER,
}


# What an error that only says that something failed may mean.
_VAGUE = (Reason.DRIVER, Reason.QUERY, Reason.OTHER)


def classify(error: BaseException) -> Reason:
    """Return the reason of an error."""
    if not isinstance(error, Exception):  # CancelledError, GreenletExit, KeyboardInterrupt
        return Reason.CANCELLED
    reason, _ = find_reason(list_errors(error), DIALECTS)
    return reason


def classify_statement(error: BaseException, is_disconnect: bool) -> Reason:
    """Return the reason of a statement's error.

    Args:
        error: The driver's error.
        is_disconnect: Whether SQLAlchemy takes the connection for broken.
    """
    reason = classify(error)
    # The statement had a connection: what refuses another one broke this one.
    if reason is Reason.REFUSED or (is_disconnect and reason in _VAGUE):
        return Reason.DISCONNECTED
    return reason


def list_errors(error: BaseException) -> list[BaseException]:
    """Return the error and those within it, without SQLAlchemy's wrappers."""
    return [each for each in iter_exception_chain(error) if not is_wrapper(each)]


def is_wrapper(error: BaseException) -> bool:
    """Return whether SQLAlchemy wrapped another error, with SQL and parameters in the text."""
    return isinstance(error, exc.StatementError) and error.orig is not None


def find_reason(
    errors: Sequence[BaseException], dialects: Sequence[DialectErrors]
) -> tuple[Reason, BaseException | None]:
    """Return the reason and the error that gave it, None if no error did.

    The outermost error with an exact reason decides, so that an expired deadline is a timeout
    whatever it interrupted. Only if there is none, the outermost one with a likely reason does.
    """
    for classify_one in (_classify_exact, classify_heuristic):
        for error in errors:
            reason = classify_one(error, dialects)
            if reason is not None:
                return reason, error
    return Reason.OTHER, None


def _classify_exact(error: BaseException, dialects: Sequence[DialectErrors]) -> Reason | None:
    exact = (dialect.classify_exact for dialect in dialects)
    return _ask((classify_sqlalchemy_error, *exact, network.classify_exact), error)


def classify_heuristic(error: BaseException, dialects: Sequence[DialectErrors]) -> Reason | None:
    """Return the likely reason of one error."""
    likely = (dialect.classify_heuristic for dialect in dialects)
    return _ask(likely, error) or classify_class(error, dialects)


def _ask(classifiers: Iterable[Classifier], error: BaseException) -> Reason | None:
    return next((found for each in classifiers if (found := each(error)) is not None), None)


def classify_sqlalchemy_error(error: BaseException) -> Reason | None:
    """Return the exact reason of an error that SQLAlchemy itself raises."""
    if isinstance(error, exc.TimeoutError):
        return Reason.POOL_TIMEOUT
    if isinstance(error, (exc.NoSuchModuleError, exc.MissingGreenlet, ImportError)):
        return Reason.DRIVER
    return None


def classify_class(
    error: BaseException, dialects: Sequence[DialectErrors] = DIALECTS
) -> Reason | None:
    """Return the likely reason by an error's class and origin, whatever the driver."""
    if isinstance(error, (exc.InvalidRequestError, exc.CompileError)):
        return Reason.QUERY
    for base in type(error).__mro__:
        if base.__name__ in _BY_CLASS_NAME:
            return _BY_CLASS_NAME[base.__name__]
    is_drivers = _is_driver_bug(error, dialects) or _is_unknown_argument(error)
    return Reason.DRIVER if is_drivers else None


def _is_driver_bug(error: BaseException, dialects: Sequence[DialectErrors]) -> bool:
    """Return whether a driver failed by a bug, say with an IndexError over invalid data."""
    modules = frozenset().union(*(dialect.driver_modules for dialect in dialects))
    is_meant = isinstance(error, OSError) or is_class_of(error, modules)
    return not is_meant and raising_module(error) in modules


def _is_unknown_argument(error: BaseException) -> bool:
    """Return whether SQLAlchemy called a driver's connect() with a keyword that it lacks."""
    is_call = isinstance(error, TypeError) and raising_module(error) == "sqlalchemy"
    return is_call and "keyword argument" in read_text(error)
