"""Reasons for SQLAlchemy's own errors, and what the classes of PEP 249 suggest when all else fails.

It must not know any particular driver.
"""

from __future__ import annotations

from sqlalchemy import exc

from sqlalchemy_pool_exporter.failures.exceptions import (
    DRIVERS,
    is_class_of,
    raising_module,
    read_text,
)
from sqlalchemy_pool_exporter.failures.reason import Reason

# By name, because every driver has its own classes of these names; SQLAlchemy's envelopes too.
_BY_CLASS_NAME = {
    "DataError": Reason.QUERY,
    "IntegrityError": Reason.QUERY,
    "NotSupportedError": Reason.QUERY,
    "ProgrammingError": Reason.QUERY,
    "InterfaceError": Reason.DRIVER,
    "InternalError": Reason.DRIVER,
}


def classify_exact(error: BaseException) -> Reason | None:
    """Reason for an error SQLAlchemy itself raises; None for others and for its envelopes."""
    match error:
        case exc.TimeoutError():
            return Reason.POOL_TIMEOUT
        case exc.NoSuchModuleError() | exc.MissingGreenlet() | ImportError():
            return Reason.DRIVER
    return None


def classify_heuristic(error: BaseException) -> Reason | None:
    """What the class of an error suggests, for when nothing in the chain says more."""
    match error:
        case exc.InvalidRequestError() | exc.CompileError():
            return Reason.QUERY
    for base in type(error).__mro__:
        if base.__name__ in _BY_CLASS_NAME:
            return _BY_CLASS_NAME[base.__name__]
    return Reason.DRIVER if _is_breakdown(error) or _is_unknown_argument(error) else None


def _is_breakdown(error: BaseException) -> bool:
    """True for an error like IndexError out of a driver that reads what its protocol forbids."""
    is_known = isinstance(error, OSError) or is_class_of(error, DRIVERS)
    return not is_known and raising_module(error) in DRIVERS


def _is_unknown_argument(error: BaseException) -> bool:
    """True when SQLAlchemy called a driver's connect() with a keyword that it does not know."""
    is_call = isinstance(error, TypeError) and raising_module(error) == "sqlalchemy"
    return is_call and "keyword argument" in read_text(error)


def is_wrapper(error: BaseException) -> bool:
    """True for SQLAlchemy's error around another one, whose text holds SQL and parameters."""
    return isinstance(error, exc.StatementError) and error.orig is not None
