"""Warnings that clients cause, at most one a minute of each kind."""

import logging

import pytest

from sqlalchemy_pool_exporter.server.limits import Complaints


def test_one_line_a_minute_tells_how_often_it_happened(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    complaints = Complaints(lambda: now[0])
    for second in (0.0, 1.0, 59.0, 60.0, 61.0):
        now[0] = second
        complaints.tell("slow clients", client="192.0.2.1")
    complaints.tell("other clients", client="192.0.2.2")
    told = [(each.getMessage(), each.__dict__["client"], each.__dict__["times"])
            for each in caplog.records]  # fmt: skip
    assert told == [
        ("slow clients", "192.0.2.1", 1),
        ("slow clients", "192.0.2.1", 3),
        ("other clients", "192.0.2.2", 1),
    ]
    assert {each.levelno for each in caplog.records} == {logging.WARNING}
