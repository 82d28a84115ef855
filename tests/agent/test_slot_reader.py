"""Reading slots while a process writes them."""

from __future__ import annotations

import struct

from sqlalchemy_pool_metrics import PoolDescription
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.file_format import LAG_NS
from sqlalchemy_pool_metrics.layout import BUSY, BUSY_ONE, BUSY_SINCE, HOLDER_SHIFT, TO_DETAILS
from sqlalchemy_pool_metrics.slot_reader import read_snapshot

START_NS = 10**15
U64 = (1 << 64) - 1


def test_a_reader_counts_no_time_twice_while_a_writer_is_about_to_store_it() -> None:
    block = Block(PoolDescription(max_connections=1))
    slot = block.record_checkout(0, START_NS)
    ended_ns = START_NS + 10**9
    read_ns = ended_ns + LAG_NS  # the writer has read its clock, and stores late
    before = read_snapshot(block.description, block.slots, read_ns, lag_ns=LAG_NS)
    block.record_return(slot, START_NS, ended_ns)
    after = read_snapshot(block.description, block.slots, read_ns, lag_ns=LAG_NS)

    assert 0 < before.checked_out_ns <= after.checked_out_ns
    assert 0 < before.saturated_ns <= after.saturated_ns


def test_busy_time_does_not_fall_while_a_statement_begins_or_is_about_to_end() -> None:
    block = Block(PoolDescription())
    block.begin_use()
    read_ns = START_NS + 10**9
    seen = []
    for change, now_ns in (
        (block.begin_statement, START_NS),
        (block.begin_statement, read_ns - 1000),  # later than the time until which it is counted
        (block.end_statement, read_ns - 1000),
        (block.end_statement, read_ns - 500),
    ):
        change(now_ns)
        seen.append(read_snapshot(block.description, block.slots, read_ns, lag_ns=LAG_NS))

    assert [each.busy for each in seen] == [1, 2, 1, 0]
    assert sorted(each.busy_ns for each in seen) == [each.busy_ns for each in seen]


def test_a_copy_in_the_middle_of_which_a_statement_begins_shows_no_time_that_has_not_passed() -> (
    None
):
    block = Block(PoolDescription())
    row, _ = block.find_holder("report", "")
    block.record_checkout(0, START_NS, row, row.detail)
    before, began_ns = block.slots.tolist(), START_NS + 10**9
    block.begin_statement(began_ns)
    block.holders.begin_statement("report", began_ns)
    after = block.slots.tolist()
    for cut in range(len(before)):  # what lies in front is copied first
        copy = memoryview(struct.pack(f"{len(before)}Q", *before[:cut], *after[cut:])).cast("Q")
        read = read_snapshot(block.description, copy, began_ns + 1000, lag_ns=LAG_NS)
        assert read.busy_ns == read.holders[0].busy_ns == 0, cut


def test_a_damaged_busy_slot_is_read_as_something() -> None:
    block = Block(PoolDescription())
    block.begin_use()
    for busy, since in ((U64, U64), (U64, 0), (1, U64), (BUSY_ONE - 1, START_NS)):
        block.slots[BUSY], block.slots[BUSY_SINCE] = busy, since
        assert read_snapshot(block.description, block.slots, START_NS).busy >= 0


def test_a_damaged_detail_is_read_as_a_connection_without_a_holder() -> None:
    block = Block(PoolDescription())
    row, detail = block.find_holder("report", "")
    slot = block.record_checkout(0, START_NS, row, detail)
    block.slots[slot + TO_DETAILS] = 99 << HOLDER_SHIFT
    read = read_snapshot(block.description, block.slots, START_NS)

    assert read.checked_out == 1
    assert [each.connections for each in read.holders] == [0]
