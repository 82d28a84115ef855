"""The time of the holders, at each store of a process and in each copy that a reader may get."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlalchemy_pool_metrics import MetricsQueuePool, holder, pool, recorder
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.file_format import LAG_NS
from sqlalchemy_pool_metrics.slot_reader import read_snapshot
from sqlalchemy_pool_metrics.snapshot import PoolDescription, Snapshot
from tests.agent.stub_driver import build_engine

SECOND = 10**9
NUMBERS = count()
NAMES = ("report", "import", "chat")
STEPS = st.lists(st.sampled_from((*NAMES, 0, 1, 2)), min_size=12, max_size=24)
FEW_STORES = 3
"""Two checkouts do not end in so many stores. If two end while a reader copies, it copies again."""


class Store(NamedTuple):
    """The slots after a store, and when a reader may see them."""

    slots: tuple[int, ...]
    read_ns: int


class JournaledSlots:
    """Slots that keep what they were after each store."""

    def __init__(self, slots: memoryview, read_clock: Callable[[], int]) -> None:
        self._slots, self._read_clock = slots, read_clock
        self.stores: list[Store] = []

    def __getitem__(self, index: Any) -> Any:
        return self._slots[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._slots[index] = value
        # A process stores the end of a checkout up to LAG_NS after it read the clock.
        self.stores.append(Store(tuple(self._slots), self._read_clock() + LAG_NS))


def record(steps: list[str | int]) -> list[Store]:
    """Check connections out for holders and return them; return all stores."""
    now_ns = 10**15

    def read_clock() -> int:
        nonlocal now_ns
        now_ns += SECOND
        return now_ns

    # A pool continues with what was counted under its name before.
    name = f"parts{next(NUMBERS)}"
    engine = build_engine(MetricsQueuePool, pool_size=4, max_overflow=0, logging_name=name)
    block: Block = engine.pool._recorder.block  # type: ignore[attr-defined]
    slots = JournaledSlots(block.slots, lambda: now_ns)
    out: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "monotonic_ns", read_clock)
        patch.setattr(pool, "monotonic_ns", read_clock)
        for owner in (block, block.buffer):
            patch.setattr(owner, "slots", slots)
        for step in steps:
            if isinstance(step, str):
                if len(out) < 4:
                    with holder(step):
                        out.append(engine.raw_connection())
            elif out:
                out.pop(step % len(out)).close()
        while out:
            out.pop().close()
    return slots.stores


def read(slots: tuple[int, ...], read_ns: int) -> Snapshot:
    copy = memoryview(struct.pack(f"{len(slots)}Q", *slots)).cast("Q")
    return read_snapshot(PoolDescription(), copy, read_ns, lag_ns=LAG_NS)


def cut(stores: list[Store], first: int, last: int) -> Iterator[tuple[int, ...]]:
    """Copies that were begun at the first store and ended at the last: the front is older."""
    before, after = stores[first].slots, stores[last].slots
    changed = [slot for slot in range(len(before)) if before[slot] != after[slot]]
    for slot in changed:
        yield (*before[: slot + 1], *after[slot + 1 :])


@settings(deadline=None, max_examples=20)
@given(STEPS)
def test_a_process_that_is_killed_after_any_store_leaves_each_holder_its_time(
    steps: list[str | int],
) -> None:
    shown: dict[str, int] = dict.fromkeys(NAMES, 0)
    for store in record(steps):
        now = read(*store)
        held_ns = {each.name: each.held_ns for each in now.holders}
        assert sum(held_ns.values()) == now.checked_out_ns
        assert sum(each.connections for each in now.holders) == now.checked_out
        for name, time_ns in held_ns.items():
            assert time_ns >= shown[name], name
        shown.update(held_ns)


@settings(deadline=None, max_examples=10)
@given(STEPS)
def test_the_time_of_a_holder_never_falls_in_a_copy_that_took_long(steps: list[str | int]) -> None:
    stores = record(steps)
    shown: dict[str, int] = dict.fromkeys(NAMES, 0)
    for first in range(len(stores)):
        last = min(first + FEW_STORES, len(stores) - 1)
        at_most = {each.name: each.held_ns for each in read(*stores[last]).holders}
        for copy in cut(stores, first, last):
            # A reader looks at the clock before it copies.
            for each in read(copy, stores[first].read_ns).holders:
                assert shown[each.name] <= each.held_ns <= at_most[each.name], each.name
        shown.update((each.name, each.held_ns) for each in read(*stores[first]).holders)
