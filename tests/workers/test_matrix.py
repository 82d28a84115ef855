"""The sum over all workers is exact at any moment, under every kind of server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.workers.cells import CELLS, Cell
from tests.workers.run import Run, start
from tests.workers.shown import Numbers

MOMENTS = 20
# What is held when a kind of server has no limit: twelve connections is all the pools have.
HELD = (0, 1, 3, 14, 2, 0, 6, 12, 1, 4)
SOLD = (1, 7, 0, 4, 12)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_metrics_agree_with_the_load_and_the_server(
    cell: Cell, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with start(cell, postgres, tmp_path) as run:
        before = run.exporter.read()
        if cell.slots is not None:  # so that every worker has used its pool
            with run.hold(cell.slots):
                check_moment(run, cell.slots)
        for moment in range(MOMENTS):
            run.load.sell(SOLD[moment % len(SOLD)])
            with run.hold(choose_held(cell, moment)) as held:
                shown = check_moment(run, held)
                assert all(
                    now >= then for now, then in zip(shown.totals, before.totals, strict=True)
                )
                before = shown
        run.stop()
        check_end(run)


def choose_held(cell: Cell, moment: int) -> int:
    if cell.slots is None:
        return HELD[moment % len(HELD)]
    return moment % (cell.slots + 1)


def check_moment(run: Run, held: int) -> Numbers:
    """Check the numbers; the server notices ended connections a little later."""
    shown = run.exporter.read()
    assert shown.checkouts == run.cell.early + run.load.sold + held
    assert shown.timeouts == run.load.timed_out
    if run.cell.respawns:
        wait_until(lambda: read_gauges(run) == ask_server(run), "what is shown to be so")
    else:
        wait_until(lambda: read_gauges(run, shown) == ask_server(run), f"{shown} to be so")
        assert shown.opened - shown.closed == shown.connections
    return shown


def read_gauges(run: Run, shown: Numbers | None = None) -> tuple[int, int, int]:
    shown = shown or run.exporter.read()
    return shown.checked_out, shown.connections, shown.processes


def ask_server(run: Run) -> tuple[int, int, int]:
    connections = run.server.read_connections()
    all_held = sum(each.held for each in connections.values())
    return all_held, sum(each.all for each in connections.values()), len(connections)


def check_end(run: Run) -> None:
    """Check that ended processes have left their counts alone."""
    wait_until(lambda: run.exporter.read().processes == 0, "the last process to end")
    shown = run.exporter.read()
    assert (shown.checked_out, shown.connections) == (0, 0)
    assert (shown.checkouts, shown.timeouts) == (run.cell.early + run.load.sold, run.load.timed_out)
    assert run.load.losses == []
    wait_until(lambda: run.server.count_sessions() == shown.opened, f"{shown.opened} sessions")
