"""Ended and killed workers: their gauges disappear at once, their counts stay."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.workers.cells import CELLS
from tests.workers.run import Run, start
from tests.workers.test_matrix import ask_server, check_moment, read_gauges

BY_NAME = {cell.name: cell for cell in CELLS}
MANY_AT_ONCE = ["gunicorn-gthread", "gunicorn-gevent", "uvicorn", "uwsgi-preload-threads"]
HELD = 8
SOLD = 12


@pytest.mark.parametrize("name", MANY_AT_ONCE)
def test_a_killed_worker_loses_its_gauges_and_keeps_its_counts(
    name: str, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with start(BY_NAME[name], postgres, tmp_path) as run:
        run.load.sell(SOLD)
        with run.hold(HELD) as held:
            before = check_moment(run, held)
            victim, its = max(run.server.read_connections().items(), key=lambda item: item[1].held)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: run.load.waiting == held - its.held, "its clients to notice")
            wait_until(lambda: run.exporter.read().checked_out == held - its.held, "its gauge")
            assert run.exporter.read().totals == before.totals
        run.load.sell(SOLD)
        wait_until(lambda: read_gauges(run) == ask_server(run), "what is shown to be so")
        check_totals(run, its.held)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_uvicorn_worker_that_ends_is_replaced_and_its_counts_stay(
    number: int, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with start(BY_NAME["uvicorn"], postgres, tmp_path) as run:
        run.load.sell(SOLD)
        before = check_moment(run, 0)
        victim = min(run.server.read_connections())
        os.kill(victim, number)
        wait_until(lambda: victim not in run.server.read_connections(), "its connections to end")
        wait_until(lambda: read_gauges(run) == ask_server(run), "what is shown to be so")
        assert run.exporter.read().checkouts == before.checkouts
        run.load.sell(SOLD)
        check_totals(run, 0)


def check_totals(run: Run, lost: int) -> None:
    """Check the totals; each lost request had its connection."""
    shown = run.exporter.read()
    assert len(run.load.losses) == lost
    assert shown.checkouts == run.load.sold + lost
    assert shown.timeouts == run.load.timed_out
    run.stop()
    shown = run.exporter.read()
    assert shown.checkouts == run.load.sold + lost
    wait_until(lambda: run.server.count_sessions() == shown.opened, f"{shown.opened} sessions")
