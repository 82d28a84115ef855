"""From an exception to the reason and the message the exporter shows for it.

It must not know any driver: the modules beside it do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from sqlalchemy_pool_exporter.failures import dbapi, mysql, network, postgresql, sqlite
from sqlalchemy_pool_exporter.failures.exceptions import iter_exception_chain
from sqlalchemy_pool_exporter.failures.message import build_message, describe
from sqlalchemy_pool_exporter.failures.reason import Reason

# MySQL before PostgreSQL: pymysql has SQLSTATEs too, and they say less than its numbers.
_FINDERS = (
    dbapi.classify_exact,
    sqlite.classify_exact,
    mysql.classify_exact,
    postgresql.classify_exact,
    network.classify_exact,
)
_GUESSERS = (mysql.classify_heuristic, postgresql.classify_heuristic, dbapi.classify_heuristic)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a database did not answer: `message` is one line of at most 300 characters."""

    reason: Reason
    message: str


def classify(error: BaseException, secrets: Iterable[str] = ()) -> Failure:
    """Reason and message of an error, however it is nested in others.

    The outermost error that says something definite gives the reason, so that a deadline which
    ran out is a timeout whatever it interrupted. `secrets` never appear in the message in any form.
    """
    errors = [each for each in iter_exception_chain(error) if not dbapi.is_wrapper(each)]
    reason, deciding = _decide(errors)
    message = build_message(error, _choose_text(errors, deciding), secrets)
    return Failure(reason, message or reason.meaning)


def _decide(errors: list[BaseException]) -> tuple[Reason, BaseException | None]:
    """The reason and the error that gave it, None when no error did."""
    for ask in (_find_reason, _guess_reason):
        for error in errors:
            if (reason := ask(error)) is not None:
                return reason, error
    return Reason.OTHER, None


def _find_reason(error: BaseException) -> Reason | None:
    return next((found for find in _FINDERS if (found := find(error)) is not None), None)


def _guess_reason(error: BaseException) -> Reason | None:
    return next((found for guess in _GUESSERS if (found := guess(error)) is not None), None)


def _choose_text(errors: list[BaseException], deciding: BaseException | None) -> str:
    """The text of the outermost error that speaks: a driver's error names the host, its cause not.

    Around the deciding error only errors of drivers are asked, inside of it none.
    """
    if deciding is not None:
        outer = takewhile(lambda each: each is not deciding, errors)
        errors = [*(each for each in outer if _guess_reason(each) is not None), deciding]
    return next(filter(None, map(describe, errors)), "")
