from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError

from sqlalchemy_pool_exporter.databases.checkout import TimedCheckout


class Work:
    """Finds every connection closed by its server, and cancels `checkout` if there is one."""

    def __init__(self) -> None:
        self.attempts = 0
        self.checkout: TimedCheckout[None] | None = None

    def __call__(self, _connection: Connection) -> None:
        self.attempts += 1
        if self.checkout is not None:
            self.checkout.cancel()
        closed = sqlite3.OperationalError("the server closed the connection")
        raise DBAPIError("SELECT 1", None, closed, connection_invalidated=True)


def build_checkout(work: Work) -> TimedCheckout[None]:
    return TimedCheckout(create_engine("sqlite://"), work, timeout=60, attempts=2)


def test_a_closed_connection_gets_a_second_attempt() -> None:
    work = Work()
    with pytest.raises(DBAPIError):
        build_checkout(work).run()
    assert work.attempts == 2


def test_a_cancelled_checkout_makes_no_second_attempt() -> None:
    work = Work()
    work.checkout = build_checkout(work)
    with pytest.raises(DBAPIError):
        work.checkout.run()
    assert work.attempts == 1
