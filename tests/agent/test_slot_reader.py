"""Reading slots while a process writes them."""

from __future__ import annotations

from sqlalchemy_pool_metrics import PoolDescription
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.file_format import LAG_NS
from sqlalchemy_pool_metrics.slot_reader import read_snapshot

START_NS = 10**15


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
