"""Numbers that are derived from the slots of a block, and peaks over a minute."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest

from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.clock import monotonic_ns
from sqlalchemy_pool_metrics.layout import HELD_CAPACITY, HOLD_SUM, HOLDER_ROWS
from sqlalchemy_pool_metrics.slot_reader import read_snapshot
from sqlalchemy_pool_metrics.snapshot import PoolDescription, keep_counters

SECOND = 1_000_000_000

START = 1_000_000 * SECOND


def block(limit: int | None = 3) -> Block:
    return Block(PoolDescription(name="p", size=2, max_connections=limit, waits=True))


def read(block: Block, now: int) -> Snapshot:
    return read_snapshot(block.description, block.slots, now)


def test_a_duration_equal_to_a_bound_belongs_to_its_bucket() -> None:
    counted = block()
    counted.record_open(SECOND // 1000)
    counted.record_open(SECOND // 1000 + 1)
    counted.record_open(31 * SECOND)
    histogram = read(counted, START).histogram("connect")

    assert histogram.counts[:2] == (1, 1)
    assert histogram.counts[-1] == 1
    assert histogram.cumulative()[-1] == (float("inf"), 3)
    assert histogram.sum_seconds == pytest.approx(31.002)


def test_the_integral_includes_connections_that_are_still_out() -> None:
    counted = block()
    slot = counted.record_checkout(0, START)
    counted.record_checkout(0, START + SECOND)
    while_out = read(counted, START + 3 * SECOND)
    counted.record_return(slot, START, START + 4 * SECOND)
    later = read(counted, START + 5 * SECOND)

    assert (while_out.checked_out, while_out.checked_out_ns) == (2, 5 * SECOND)
    assert while_out.oldest_checkout_ns == 3 * SECOND
    assert (later.checked_out, later.checked_out_ns) == (1, 8 * SECOND)
    assert later.oldest_checkout_ns == 4 * SECOND


def test_busy_time_includes_statements_that_still_run() -> None:
    counted = block()
    counted.begin_use()
    counted.begin_statement(START)
    counted.begin_statement(START + SECOND)
    both = read(counted, START + 3 * SECOND)
    counted.end_statement(START + 4 * SECOND)
    one = read(counted, START + 5 * SECOND)
    counted.end_statement(START + 6 * SECOND)
    none = read(counted, START + 9 * SECOND)

    assert [each.busy for each in (both, one, none)] == [2, 1, 0]
    seconds = [round(each.busy_ns / SECOND, 5) for each in (both, one, none)]
    assert seconds == [5, 8, 9]


def test_busy_time_and_leaks_are_kept_when_a_block_continues_elsewhere() -> None:
    counted = block()
    began_ns = monotonic_ns() - 5 * SECOND
    for name in ("report", "import"):
        row, _ = counted.find_holder(name, "")
        counted.record_checkout(0, began_ns, row, row.detail)
    counted.begin_statement(began_ns)
    counted.holders.begin_statement("import", began_ns)
    counted.holders.add_leak("import")
    left = counted.detach()
    counted.holders.add_leak("import")
    ended_ns = monotonic_ns() + 3 * SECOND
    counted.end_statement(ended_ns)
    counted.holders.end_statement("import", ended_ns)
    counted.move(left)

    now = counted.read_buffer()
    assert now.busy == 0
    assert 8 * SECOND <= now.busy_ns + 2048 < 60 * SECOND
    busy_ns = {each.name: each.busy_ns for each in now.holders}
    assert busy_ns == {"report": 0, "import": now.busy_ns}
    assert {each.name: each.leaks for each in now.holders} == {"report": 0, "import": 2}


def test_the_time_of_what_is_in_flight_stays_when_a_block_continues_elsewhere() -> None:
    counted = block(limit=1)
    began_ns = monotonic_ns() - 5 * SECOND
    counted.record_checkout(0, began_ns)
    counted.record_wait_begin(began_ns)
    before = counted.read_buffer()
    left = counted.detach().read()

    assert left.checked_out == left.pending_checkouts == left.saturated_processes == 0
    assert left.checked_out_ns >= before.checked_out_ns > 0
    assert left.pending_ns >= before.pending_ns > 0
    assert left.saturated_ns >= before.saturated_ns > 0


def test_statements_of_a_process_that_is_gone_are_not_busy() -> None:
    counted = block()
    counted.begin_statement(START)
    gone = keep_counters(read(counted, START + SECOND))

    assert (gone.busy, round(gone.busy_ns / SECOND, 5)) == (0, 1)


def test_a_peak_is_seen_for_a_minute_and_not_for_two() -> None:
    counted = block()
    slots = [counted.record_checkout(0, START) for _ in range(3)]
    for slot in slots:
        counted.record_return(slot, START, START + SECOND)

    assert read(counted, START + 59 * SECOND).checked_out_peak == 3
    assert read(counted, START + 120 * SECOND).checked_out_peak == 0


def test_the_level_before_a_fall_is_the_peak_of_that_minute() -> None:
    counted = block()
    slots = [counted.record_checkout(0, START) for _ in range(2)]
    for slot in slots:
        counted.record_return(slot, START, START + 600 * SECOND)

    assert read(counted, START + 300 * SECOND).checked_out_peak == 2
    assert read(counted, START + 630 * SECOND).checked_out_peak == 2
    assert read(counted, START + 700 * SECOND).checked_out_peak == 0


def test_connections_beyond_the_capacity_of_the_table_are_still_counted() -> None:
    counted = block(limit=None)
    slots = [counted.record_checkout(0, START) for _ in range(HELD_CAPACITY + 5)]
    full = read(counted, START + SECOND)
    for slot in slots:
        counted.record_return(slot, START, START + SECOND)
    empty = read(counted, START + SECOND)

    assert full.checked_out == HELD_CAPACITY + 5
    assert (empty.checked_out, empty.checked_out_ns) == (0, (HELD_CAPACITY + 5) * SECOND)


def test_saturation_counts_from_the_last_free_connection_to_the_first_return() -> None:
    counted = block(limit=2)
    slots = [counted.record_checkout(0, START + n * SECOND) for n in range(2)]
    counted.record_return(slots[0], START, START + 4 * SECOND)
    counted.record_return(slots[1], START, START + 9 * SECOND)

    assert read(counted, START + 20 * SECOND).saturated_ns == 3 * SECOND


def test_a_start_in_the_future_counts_as_now() -> None:
    counted = block()
    counted.record_checkout(0, START)
    early = read(counted, START - SECOND)

    assert (early.checked_out, early.oldest_checkout_ns, early.checked_out_ns) == (1, 0, 0)


@pytest.mark.parametrize("returned", [0, HELD_CAPACITY])
def test_a_connection_ends_under_its_holder_after_two_moves(returned: int) -> None:
    full, counted = block(), block(limit=300)
    for number in range(HOLDER_ROWS):
        full.find_holder(f"holder {number}", "")
    row, detail = counted.find_holder("report", "")
    began_ns = monotonic_ns() - 5 * SECOND
    slots = [counted.record_checkout(0, began_ns, row, detail) for _ in range(HELD_CAPACITY + 1)]
    assert slots[-1] == 0  # one connection is beyond the table
    for slot in slots[:returned]:
        counted.record_return(slot, began_ns, began_ns + SECOND, "report")
    counted.move(full.buffer)
    counted.detach()
    for slot in slots[returned:]:
        counted.record_return(slot, began_ns, began_ns + SECOND, "report")

    now = counted.read_buffer()
    assert [each.name for each in now.holders if each.held_ns] == ["other"]
    assert now.holders[-1].held_ns == now.checked_out_ns


def add_first_holder(counted: Block, end_hold: Callable[[], None], calls: int) -> None:
    """Add a holder; end a hold at one of the calls, as the garbage collector may."""

    def count_call(_frame: Any, event: str, _called: Any) -> None:
        nonlocal calls
        calls -= event in ("call", "c_call")
        if not calls:
            sys.setprofile(None)
            end_hold()

    sys.setprofile(count_call)
    try:
        counted.find_holder("report", "")
    finally:
        sys.setprofile(None)


def test_a_hold_that_ends_while_the_first_holder_is_added_counts() -> None:
    for calls in count(1):
        counted = block()
        leaked, other = (counted.record_checkout(0, START) for _ in range(2))
        end_hold = partial(counted.record_return, leaked, START, START + SECOND)
        add_first_holder(counted, end_hold, calls)
        if counted.held.level == 2:  # there were fewer calls
            break
        counted.record_return(other, START, START + 2 * SECOND)
        assert read(counted, START + 3 * SECOND).checked_out_ns == 3 * SECOND


def check_out(counted: Block, holder: str, began_ns: int) -> int:
    row, detail = counted.find_holder(holder, "") if holder else (None, 0)
    return counted.record_checkout(0, began_ns, row, detail)


def test_a_connection_without_a_holder_has_none_in_a_place_where_others_had_one() -> None:
    began_ns = monotonic_ns() - 5 * SECOND
    before, counted = block(), block()
    before.record_return(
        check_out(before, "report", began_ns), began_ns, began_ns + SECOND, "report"
    )
    slot = check_out(counted, "", began_ns)
    counted.move(before.buffer)
    out = counted.read_buffer()
    counted.record_return(slot, began_ns, began_ns + 2 * SECOND)

    assert [(each.connections, each.held_ns) for each in out.holders] == [(0, SECOND)]
    now = counted.read_buffer()
    assert [each.held_ns for each in now.holders] == [SECOND]
    assert now.checked_out_ns == 3 * SECOND


def test_time_without_a_holder_continues_in_a_place_where_others_had_none() -> None:
    began_ns = monotonic_ns() - 5 * SECOND
    before, counted = block(), block()
    before.record_return(check_out(before, "", began_ns), began_ns, began_ns + SECOND)
    check_out(counted, "report", began_ns)
    slot = check_out(counted, "", began_ns)
    counted.move(before.buffer)
    counted.record_return(slot, began_ns, began_ns + 2 * SECOND)

    # Not what a reader finds: the total in the slot of the connection would make up for it.
    assert counted.slots[HOLD_SUM] == 3 * SECOND


def test_a_renamed_pool_that_gets_its_old_place_back_has_all_time_of_its_holder() -> None:
    began_ns = monotonic_ns() - 5 * SECOND
    counted = block()
    slot = check_out(counted, "report", began_ns)
    left = counted.detach()
    left_ns = left.read().holders[0].held_ns
    counted.move(left)
    counted.record_return(slot, began_ns, began_ns + 6 * SECOND, "report")

    (now,) = counted.read_buffer().holders
    assert now.held_ns == left_ns + 6 * SECOND
    assert counted.read().holders[0].held_ns == 6 * SECOND
