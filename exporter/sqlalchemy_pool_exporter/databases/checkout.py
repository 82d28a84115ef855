"""A visit to a database: check a connection out, do some work on it, return it, all in time.

It runs in a lane and blocks there; it knows neither threads nor the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from sqlalchemy_pool_exporter.engines.drivers import build_postgresql_limit

T = TypeVar("T")


class Stage(StrEnum):
    """How far a visit has come; the values say what did not happen in time."""

    CHECKOUT = "no connection"
    WORK = "no answer to the query"
    RETURN = "connection not returned"


class DeadlineError(TimeoutError):
    """A visit took longer than it may."""


class TimedCheckout(Generic[T]):
    """One checkout. `checkout_seconds` is the time it took to get the connection."""

    def __init__(
        self,
        engine: Engine,
        work: Callable[[Connection], T],
        *,
        timeout: float,
        attempts: int = 1,
        limits_transaction: bool = False,
    ) -> None:
        self.engine = engine
        self.timeout = timeout
        self.ends_at = time.monotonic() + timeout
        self.stage = Stage.CHECKOUT
        self.checkout_seconds = 0.0
        self._work = work
        self._attempts = attempts
        self._limits_transaction = limits_transaction
        self._is_given_up = False

    def give_up(self) -> None:
        """Make no further attempt, for nobody would close the connection of one; and no query."""
        self._attempts = 0
        self._is_given_up = True

    @property
    def remaining_seconds(self) -> float:
        return self.ends_at - time.monotonic()

    def make(self) -> T:
        """Do the work. An attempt is repeated when it met a connection its server had closed."""
        while True:
            self._attempts -= 1
            try:
                return self._make()
            except DBAPIError as error:
                if not (
                    error.connection_invalidated and self._attempts > 0 < self.remaining_seconds
                ):
                    raise

    def _make(self) -> T:
        self.stage = Stage.CHECKOUT
        started = time.perf_counter()
        with self.engine.connect() as connection:
            self.checkout_seconds = time.perf_counter() - started
            if self._is_given_up:
                raise self.build_error()
            self.stage = Stage.WORK
            self._limit(connection)
            result = self._work(connection)
            self.stage = Stage.RETURN
        return result

    def _limit(self, connection: Connection) -> None:
        """Let the server end what we no longer wait for, or a lock piles up our sessions."""
        if self._limits_transaction:
            connection.exec_driver_sql(build_postgresql_limit(self.remaining_seconds))

    def build_error(self) -> DeadlineError:
        """The error that says what the visit waits for."""
        return DeadlineError(f"{self.stage} within {self.timeout:g} s")
