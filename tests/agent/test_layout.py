"""The slots of a block."""

from __future__ import annotations

from sqlalchemy_pool_metrics import layout
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.layout import (
    HISTOGRAM_SLOTS,
    HISTOGRAMS,
)
from sqlalchemy_pool_metrics.snapshot import PoolDescription


def block(limit: int | None = 3) -> Block:
    return Block(PoolDescription(name="p", size=2, max_connections=limit, waits=True))


def test_every_slot_has_exactly_one_place() -> None:
    taken = list(range(len(layout.COUNTERS)))
    for name, slots in HISTOGRAM_SLOTS.items():
        assert slots.sum - slots.first == len(HISTOGRAMS[name]) + 1
        taken += range(slots.first, slots.sum + 1)
    assert taken == list(range(layout.ADDITIVE_SLOTS))
    assert len(block().slots) == layout.BLOCK_SLOTS
