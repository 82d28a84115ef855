"""What the recording stores, slot by slot: the same on every path, and nothing that ever falls."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_pool_metrics import MetricsQueuePool, PoolDescription, pool, recorder
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.file_format import LAG_NS
from sqlalchemy_pool_metrics.layout import TABLE
from sqlalchemy_pool_metrics.slot_reader import read_snapshot
from tests.agent.stub_driver import build_engine

START_NS = 10**15
REGIONS = ("checkout", "hold", "saturated_ns", "saturated", "checked_out_peaks", "held")
NUMBERS = count()
# Around the lowest bounds of the buckets, and across windows.
PAUSES = st.one_of(
    st.integers(0, 3_000_000), st.sampled_from([100_000, 150_000, 1_000_000, 1_500_000, 5 * 10**9])
)
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 40), PAUSES), min_size=30, max_size=60)


@given(size=st.sampled_from([1, 2, 30]), steps=STEPS)
def test_checkouts_and_returns_store_the_same_written_out_as_not(
    size: int, steps: list[tuple[bool, int, int]]
) -> None:
    now_ns = START_NS
    engine = build_engine(MetricsQueuePool, pool_size=size, max_overflow=0)
    written_out = engine.pool._recorder.block  # type: ignore[attr-defined]
    # A pool goes on with what was counted under its name before.
    written_out.describe(replace(written_out.description, name=f"pool{next(NUMBERS)}"))
    plain = Block(written_out.description)
    out: list[tuple[Any, int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "monotonic_ns", lambda: now_ns)
        for is_checkout, which, pause_ns in steps:
            if is_checkout and len(out) < size:
                patch.setattr(pool, "monotonic_ns", lambda asked_ns=now_ns: asked_ns)
                now_ns += pause_ns
                connection = engine.raw_connection()
                out.append((connection, plain.record_checkout(pause_ns, now_ns), now_ns))
            elif out:
                now_ns += pause_ns
                connection, slot, since_ns = out.pop(which % len(out))
                connection.close()
                plain.record_return(slot, since_ns, now_ns)
            for name in REGIONS:
                stored = TABLE.read(written_out.slots, name)
                assert stored == TABLE.read(plain.slots, name), name
        while out:
            out.pop()[0].close()


def test_a_reader_between_the_clock_and_the_store_of_a_writer_sees_no_time_twice() -> None:
    block = Block(PoolDescription(max_connections=1))
    slot = block.record_checkout(0, START_NS)
    ended_ns = START_NS + 10**9
    read_ns = ended_ns + LAG_NS  # the writer has read its clock, and stores late
    before = read_snapshot(block.description, block.slots, read_ns, lag_ns=LAG_NS)
    block.record_return(slot, START_NS, ended_ns)
    after = read_snapshot(block.description, block.slots, read_ns, lag_ns=LAG_NS)

    assert 0 < before.checked_out_ns <= after.checked_out_ns
    assert 0 < before.saturated_ns <= after.saturated_ns
