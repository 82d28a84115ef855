"""One checkout with a deadline: get a connection, work on it, return it."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")


class Stage(StrEnum):
    """How far a checkout has come; the value is the message if time runs out at this stage."""

    CHECKOUT = "no connection"
    WORK = "no answer to the query"
    RETURN = "connection not returned"


class DeadlineError(TimeoutError):
    """A database did not respond before the deadline."""


class TimedCheckout(Generic[T]):
    """Does some work on a connection of an engine.

    `run` blocks, in a thread or a greenlet; `cancel` and `build_error` may be called from the event
    loop's thread meanwhile. `checkout_seconds` is the time it took to get the connection;
    `deadline` is in seconds of time.monotonic().
    """

    def __init__(
        self,
        engine: Engine,
        work: Callable[[Connection], T],
        *,
        timeout: float,
        attempts: int = 1,
        transaction_limit: Callable[[float], str] | None = None,
    ) -> None:
        self.engine = engine
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.stage = Stage.CHECKOUT
        self.checkout_seconds = 0.0
        self._work = work
        self._attempts = attempts
        self._transaction_limit = transaction_limit
        self._is_cancelled = False

    @property
    def remaining_seconds(self) -> float:
        """The time until the deadline; negative after it."""
        return self.deadline - time.monotonic()

    def run(self) -> T:
        """Do the work; retry it if the server had closed the pool's connection."""
        while True:
            self._attempts -= 1
            try:
                return self._run_once()
            except DBAPIError as error:
                can_retry = self._attempts > 0 and self.remaining_seconds > 0
                if not (error.connection_invalidated and can_retry):
                    raise

    def _run_once(self) -> T:
        self.stage = Stage.CHECKOUT
        started = time.perf_counter()
        with self.engine.connect() as connection:
            self.checkout_seconds = time.perf_counter() - started
            if self._is_cancelled:
                raise self.build_error()
            self.stage = Stage.WORK
            self._limit(connection)
            result = self._work(connection)
            self.stage = Stage.RETURN
        return result

    def _limit(self, connection: Connection) -> None:
        """Make the server end a query at the deadline, or those that wait for a lock pile up."""
        if self._transaction_limit is not None:
            connection.exec_driver_sql(self._transaction_limit(self.remaining_seconds))

    def cancel(self) -> None:
        """Prevent the work, and another attempt, whose connection would never be closed.

        An abandoned thread may still be in `run`, and come back from the driver at any time.
        """
        self._attempts = 0
        self._is_cancelled = True

    def build_error(self) -> DeadlineError:
        """Return an error that says what the checkout waits for."""
        return DeadlineError(f"{self.stage} within {self.timeout:g} s")
