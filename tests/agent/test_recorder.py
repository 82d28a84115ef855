"""The recorder stores the same numbers on every path."""

from __future__ import annotations

import sys
import threading
import time
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import MetricsQueuePool, holder, instrument, pool, read_pool, recorder
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.layout import TABLE
from tests.agent.stub_driver import build_engine

START_NS = 10**15
REGIONS = (
    "checkout",
    "hold",
    "saturated_ns",
    "saturated",
    "checked_out_peaks",
    "held",
    "held_details",
    "holder_held_ns",
    "holder_holds",
)
NUMBERS = count()
# Around the lowest bounds of the buckets, and across windows.
PAUSES = st.one_of(
    st.integers(0, 3_000_000), st.sampled_from([100_000, 150_000, 1_000_000, 1_500_000, 5 * 10**9])
)
NAMES = st.sampled_from(["", "report", "import"])
STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 40), PAUSES, NAMES), min_size=30, max_size=60
)


# Hypothesis first parses all local modules; in tests/conformance SQLAlchemy's are local, too.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(size=st.sampled_from([1, 2, 30]), steps=STEPS)
def test_the_written_out_paths_store_the_same_as_the_methods_of_the_block(
    size: int, steps: list[tuple[bool, int, int, str]]
) -> None:
    now_ns = START_NS
    # A pool continues with what was counted under its name before.
    name = f"pool{next(NUMBERS)}"
    engine = build_engine(MetricsQueuePool, pool_size=size, max_overflow=0, logging_name=name)
    written_out = engine.pool._recorder.block  # type: ignore[attr-defined]
    plain = Block(written_out.description)
    out: list[tuple[Any, int, int, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "monotonic_ns", lambda: now_ns)
        for is_checkout, which, pause_ns, name in steps:
            if is_checkout and len(out) < size:
                patch.setattr(pool, "monotonic_ns", lambda asked_ns=now_ns: asked_ns)
                now_ns += pause_ns
                with holder(name):
                    connection = engine.raw_connection()
                row, detail = plain.find_holder(name, "") if name else (None, 0)
                detail |= threading.get_native_id() if name else 0
                slot = plain.record_checkout(pause_ns, now_ns, row, detail)
                out.append((connection, slot, now_ns, name))
            elif out:
                now_ns += pause_ns
                connection, slot, since_ns, name = out.pop(which % len(out))
                connection.close()
                plain.record_return(slot, since_ns, now_ns, name)
            for region in REGIONS:
                stored = TABLE.read(written_out.slots, region)
                assert stored == TABLE.read(plain.slots, region), region
        while out:
            out.pop()[0].close()


@pytest.mark.parametrize("is_replaced_at_the_checkout", [True, False])
def test_a_clock_that_a_test_library_replaces_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, is_replaced_at_the_checkout: bool
) -> None:
    """As freezegun does: in every module that holds a function of `time`."""
    engine = instrument(build_engine(QueuePool))

    def replace_clock() -> None:
        for module in list(sys.modules.values()):
            for name, value in list(vars(module).items()):
                if value is time.monotonic_ns and module is not time:
                    monkeypatch.setattr(module, name, lambda: 1)
        monkeypatch.setattr(time, "monotonic_ns", lambda: 1)

    if is_replaced_at_the_checkout:
        replace_clock()
        connection = engine.raw_connection()
        monkeypatch.undo()
    else:
        connection = engine.raw_connection()
        replace_clock()
    connection.close()
    monkeypatch.undo()
    hold = read_pool(engine).histogram("hold")

    assert hold.count == 1
    assert 0 < hold.sum_seconds < 60
