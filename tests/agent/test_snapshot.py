"""Snapshots of one pool from several processes, merged."""

from __future__ import annotations

from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.slot_reader import read_snapshot
from sqlalchemy_pool_metrics.snapshot import PoolDescription, keep_counters, merge

SECOND = 1_000_000_000

START = 1_000_000 * SECOND


def block(limit: int | None = 3) -> Block:
    used = Block(PoolDescription(name="p", size=2, max_connections=limit, waits=True))
    used.begin_use()
    return used


def read(block: Block, now: int) -> Snapshot:
    return read_snapshot(block.description, block.slots, now)


def test_merging_processes_adds_their_numbers_and_takes_the_oldest_age() -> None:
    first, second = block(), block()
    first.record_checkout(0, START)
    second.record_checkout(0, START + SECOND)
    second.record_checkout(0, START + SECOND)
    both = merge([read(first, START + 2 * SECOND), read(second, START + 2 * SECOND)])

    assert (both.processes, both.checked_out, both.checkouts) == (2, 3, 3)
    assert (both.size, both.max_connections) == (4, 6)
    assert both.oldest_checkout_ns == 2 * SECOND
    assert both.checked_out_peak == 3


def test_the_merged_limit_is_unknown_if_one_process_has_none() -> None:
    both = merge([read(block(), START), read(block(limit=None), START)])

    assert (both.size, both.max_connections) == (4, None)


def test_a_pool_that_is_gone_keeps_its_counters_and_adds_no_limit() -> None:
    gone = block()
    gone.record_checkout(0, START)
    left = merge([read(block(), START), keep_counters(read(gone, START + SECOND))])

    assert (left.processes, left.checked_out, left.checkouts, left.size) == (1, 0, 1, 2)
    assert left.checked_out_ns == SECOND


def test_a_full_pool_beside_an_idle_one_is_counted_until_a_connection_is_back() -> None:
    full, idle = block(limit=1), block(limit=1)
    slot = full.record_checkout(0, START)
    both = merge([read(full, START), read(idle, START)])

    assert (both.processes, both.saturated_processes) == (2, 1)
    full.record_return(slot, START, START + SECOND)
    assert read(full, START + SECOND).saturated_processes == 0


def test_a_pool_without_a_limit_is_never_full() -> None:
    unlimited = block(limit=None)
    unlimited.record_checkout(0, START)

    assert read(unlimited, START).saturated_processes == 0


def test_a_full_pool_that_is_gone_is_not_full() -> None:
    full = block(limit=1)
    full.record_checkout(0, START)

    assert keep_counters(read(full, START)).saturated_processes == 0
