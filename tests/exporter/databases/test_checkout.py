"""Attempts of a visit: one more on a connection that its server had closed, none once given up."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError

from sqlalchemy_pool_exporter.databases.checkout import TimedCheckout


class Work:
    """Finds every connection closed by its server, and gives `visit` up if there is one."""

    def __init__(self) -> None:
        self.attempts = 0
        self.visit: TimedCheckout[None] | None = None

    def __call__(self, _connection: Connection) -> None:
        self.attempts += 1
        if self.visit is not None:
            self.visit.give_up()
        closed = sqlite3.OperationalError("the server closed the connection")
        raise DBAPIError("SELECT 1", None, closed, connection_invalidated=True)


def build_visit(work: Work) -> TimedCheckout[None]:
    return TimedCheckout(create_engine("sqlite://"), work, timeout=60, attempts=2)


def test_a_closed_connection_is_worth_a_second_attempt() -> None:
    work = Work()
    with pytest.raises(DBAPIError):
        build_visit(work).make()
    assert work.attempts == 2


def test_a_visit_that_was_given_up_makes_no_second_attempt() -> None:
    work = Work()
    work.visit = build_visit(work)
    with pytest.raises(DBAPIError):
        work.visit.make()
    assert work.attempts == 1
