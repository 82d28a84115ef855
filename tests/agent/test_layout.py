"""Snapshots: derived values, peaks over a minute, merging of processes."""

from __future__ import annotations

import pytest

from sqlalchemy_pool_metrics import Snapshot, layout
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.layout import (
    HELD_CAPACITY,
    HISTOGRAM_SLOTS,
    HISTOGRAMS,
)
from sqlalchemy_pool_metrics.slot_reader import read_snapshot
from sqlalchemy_pool_metrics.snapshot import PoolDescription, keep_counters, merge

SECOND = 1_000_000_000
START = 1_000_000 * SECOND


def block(limit: int | None = 3) -> Block:
    return Block(PoolDescription(name="p", size=2, max_connections=limit, waits=True))


def read(block: Block, now: int) -> Snapshot:
    return read_snapshot(block.description, block.slots, now)


def test_every_slot_has_one_place() -> None:
    taken = list(range(len(layout.COUNTERS)))
    for name, slots in HISTOGRAM_SLOTS.items():
        assert slots.sum - slots.first == len(HISTOGRAMS[name]) + 1
        taken += range(slots.first, slots.sum + 1)
    assert taken == list(range(layout.ADDITIVE_SLOTS))
    assert len(block().slots) == layout.BLOCK_SLOTS


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


def test_a_peak_is_seen_for_a_minute_and_not_for_two() -> None:
    counted = block()
    slots = [counted.record_checkout(0, START) for _ in range(3)]
    for slot in slots:
        counted.record_return(slot, START, START + SECOND)

    assert read(counted, START + 59 * SECOND).checked_out_peak == 3
    assert read(counted, START + 120 * SECOND).checked_out_peak == 0


def test_a_level_that_lasted_is_the_peak_of_the_minute_in_which_it_fell() -> None:
    counted = block()
    slots = [counted.record_checkout(0, START) for _ in range(2)]
    for slot in slots:
        counted.record_return(slot, START, START + 600 * SECOND)

    assert read(counted, START + 300 * SECOND).checked_out_peak == 2
    assert read(counted, START + 630 * SECOND).checked_out_peak == 2
    assert read(counted, START + 700 * SECOND).checked_out_peak == 0


def test_connections_beyond_the_table_are_still_counted() -> None:
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


def test_processes_of_a_pool_are_added_and_the_oldest_age_is_the_maximum() -> None:
    first, second = block(), block()
    first.record_checkout(0, START)
    second.record_checkout(0, START + SECOND)
    second.record_checkout(0, START + SECOND)
    both = merge([read(first, START + 2 * SECOND), read(second, START + 2 * SECOND)])

    assert (both.processes, both.checked_out, both.checkouts) == (2, 3, 3)
    assert (both.size, both.max_connections) == (4, 6)
    assert both.oldest_checkout_ns == 2 * SECOND
    assert both.checked_out_peak == 3


def test_a_limit_is_unknown_when_one_of_the_processes_has_none() -> None:
    both = merge([read(block(), START), read(block(limit=None), START)])

    assert (both.size, both.max_connections) == (4, None)


def test_what_is_gone_keeps_its_counters_and_lends_no_limit() -> None:
    gone = block()
    gone.record_checkout(0, START)
    left = merge([read(block(), START), keep_counters(read(gone, START + SECOND))])

    assert (left.processes, left.checked_out, left.checkouts, left.size) == (1, 0, 1, 2)
    assert left.checked_out_ns == SECOND
