"""Connections that are out for too long: who has them, and where they were checked out."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import call_sites, holder, instrument, read_pool
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.families import APP_FAMILIES
from sqlalchemy_pool_metrics.layout import (
    CALL_SITES_BYTES,
    HELD,
    HELD_CAPACITY,
    TABLE,
    SlotTable,
)
from sqlalchemy_pool_metrics.slot_reader import DEFAULT_OVERDUE_NS, read_snapshot
from sqlalchemy_pool_metrics.snapshot import (
    HolderNumbers,
    OverdueHold,
    PoolDescription,
    Snapshot,
    keep_counters,
    limit_holders,
    merge,
)
from tests.agent.children import in_child
from tests.agent.stub_driver import build_engine

FILE = "tests/agent/test_overdue.py"


@pytest.fixture
def engine() -> Iterator[Any]:
    engine = instrument(build_engine(QueuePool, pool_size=HELD_CAPACITY + 8), holders=True)
    yield engine
    engine.dispose()


def check_out(engine: Engine) -> Any:
    return engine.raw_connection()


def check_out_elsewhere(engine: Engine) -> Any:
    return engine.raw_connection()


def read_overdue(engine: Any) -> tuple[OverdueHold, ...]:
    """Return every connection that is out, as if the threshold were 0."""
    block: Block = engine.pool._recorder.block
    return read_snapshot(block.description, block.slots, time.monotonic_ns(), overdue_ns=0).overdue


def find_line(function: Any) -> int:
    return int(function.__code__.co_firstlineno)


def test_an_overdue_connection_shows_its_holder_place_thread_and_age(engine: Engine) -> None:
    for _ in range(3):  # only the first checkout finds the pool as it has never been before
        began_ns = time.monotonic_ns()
        with holder("report"):
            connection = check_out(engine)
        (hold,) = read_overdue(engine)

        assert hold[2:] == (FILE, find_line(check_out), "check_out", threading.get_native_id(), 0)
        assert hold.holder == "report"
        assert 0 < hold.age_ns <= time.monotonic_ns() - began_ns
        connection.close()
        assert read_overdue(engine) == ()


def test_connections_are_overdue_after_5_minutes(engine: Engine) -> None:
    connection = check_out(engine)
    block: Block = engine.pool._recorder.block  # type: ignore[attr-defined]
    assert read_pool(engine).overdue == ()
    block.slots[HELD] -= DEFAULT_OVERDUE_NS
    assert len(read_pool(engine).overdue) == 1
    connection.close()


def test_the_oldest_comes_first_and_each_thread_has_its_id(engine: Engine) -> None:
    threads: list[int] = []
    connections: list[Any] = []

    def work() -> None:
        connections.append(check_out_elsewhere(engine))
        threads.append(threading.get_native_id())

    connections.append(check_out(engine))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert [(each.function, each.thread) for each in read_overdue(engine)] == [
        ("check_out", threading.get_native_id()),
        ("check_out_elsewhere", threads[0]),
    ]
    while connections:
        connections.pop().close()


def test_without_holders_there_is_the_age_and_a_name_that_was_given(tmp_path: Path) -> None:
    engine = instrument(create_engine(f"sqlite:///{tmp_path}/shop.db"), holders=False)
    with holder("report"):
        connections = [check_out(engine)]
    connections.append(check_out(engine))
    first, second = read_overdue(engine)

    assert (first.holder, first.file, first.line, first.function) == ("report", "", 0, "")
    assert second == OverdueHold("", second.age_ns)
    while connections:
        connections.pop().close()


def test_nothing_is_left_of_an_earlier_hold(engine: Engine) -> None:
    for _ in range(3 * HELD_CAPACITY):  # every slot of the table
        check_out(engine).close()
    instrument(engine, holders=False)
    connection = check_out(engine)
    (hold,) = read_overdue(engine)
    connection.close()

    assert hold == OverdueHold("", hold.age_ns)


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize("end", [lambda c: c.invalidate(), lambda c: c.detach(), lambda _: None])
def test_a_connection_that_was_lost_is_no_longer_overdue(engine: Engine, end: Any) -> None:
    connection = check_out(engine)
    assert len(read_overdue(engine)) == 1
    end(connection)
    del connection
    assert read_overdue(engine) == ()


def test_what_is_known_survives_moves_into_the_buffers_of_other_pools(folder: Path) -> None:
    """Where other holders and places have the numbers."""
    for name in ("to move", "moved"):
        gone = instrument(build_engine(QueuePool), name=name, holders=True)
        for number in range(5):
            with holder(f"another of {name} {number}"):
                gone.raw_connection().close()
        del gone
        gc.collect()
    engine = instrument(build_engine(QueuePool), name="to move", holders=True)
    connections = [check_out(engine)]
    with holder("report"):
        connections.append(check_out_elsewhere(engine))
    block: Block = engine.pool._recorder.block  # type: ignore[attr-defined]
    seen = []
    for step in ("", "rename", "remove the file"):
        if step == "rename":
            instrument(engine, name="moved")
        elif step:
            for file in folder.glob("*.pool"):
                file.unlink()
        block.buffer.begin_window()
        connections.append(check_out(engine))  # does the maintenance
        connections.pop().close()
        seen.append([each[:1] + each[2:] for each in read_overdue(engine)])
    assert "another of moved 4" in block.buffer.holders.rows
    while connections:
        connections.pop().close()

    thread = threading.get_native_id()
    first = (f"{__name__}.check_out", FILE, find_line(check_out), "check_out", thread, 0)
    second = ("report", FILE, find_line(check_out_elsewhere), "check_out_elsewhere", thread, 0)
    assert seen == [[first, second]] * 3


def test_a_forked_child_has_only_its_own_connections(engine: Engine) -> None:
    def work() -> tuple[list[OverdueHold], int]:
        child = check_out_elsewhere(engine)
        found = list(read_overdue(engine))
        child.close()
        return found, threading.get_native_id()

    connection = check_out(engine)
    (hold,), thread = in_child(work)
    connection.close()

    assert hold[4:6] == ["check_out_elsewhere", thread]


def test_connections_beyond_the_table_are_not_overdue(engine: Engine) -> None:
    connections = [check_out(engine) for _ in range(HELD_CAPACITY + 3)]
    assert len(read_overdue(engine)) == HELD_CAPACITY
    while connections:
        connections.pop().close()
    assert read_overdue(engine) == ()


def test_places_beyond_the_room_are_unknown_and_each_is_one_line() -> None:
    block = Block(PoolDescription())
    block.begin_use()
    places = ["shop/two\nlines.py:1 load", "x" * 200, *(f"shop.py:{n} load" for n in range(200))]
    for place in places[:HELD_CAPACITY]:
        row, site = block.find_holder("report", place)
        block.record_checkout(0, 1, row, row.detail | site)
    overdue = block.read().overdue

    assert overdue[0].file == "shop/two\ufffdlines.py"
    assert overdue[1].function == "x" * 160
    known = [each for each in overdue[2:] if each.function]
    assert [each.line for each in known] == list(range(len(known)))
    assert CALL_SITES_BYTES / 20 < len(known) + 20 < len(overdue)


@pytest.mark.parametrize(
    ("module", "path", "shown"),
    [
        ("shop.orders.load", "/home/alice/app/shop/orders/load.py", "shop/orders/load.py"),
        ("shop.orders", "/home/alice/app/shop/orders/__init__.py", "shop/orders/__init__.py"),
        ("__main__", "/home/alice/app/run.py", "run.py"),
        ("plugins.loaded.report", "/home/alice/report.py", "report.py"),
        ("shop.generated", "<string>", "<string>"),
        ("shop", f"/home/{'x' * 100}.py", f"{'x' * 77}.py"),
    ],
)
def test_the_path_of_a_place_begins_with_the_outermost_package(
    module: str, path: str, shown: str
) -> None:
    code: CodeType = find_line.__code__.replace(co_filename=path)
    assert call_sites._shorten_path(code, module) == shown


def test_a_block_of_another_version_has_no_details(engine: Engine) -> None:
    connection = check_out(engine)
    block: Block = engine.pool._recorder.block  # type: ignore[attr-defined]
    regions = [each for each in TABLE.regions.values() if each.kind != "details"]
    now_ns = time.monotonic_ns()
    (hold,) = read_snapshot(
        block.description, block.slots, now_ns, SlotTable(regions), overdue_ns=0
    ).overdue
    connection.close()

    assert hold == OverdueHold("", hold.age_ns)


def test_merging_keeps_the_oldest_first_and_ended_processes_have_none() -> None:
    additive = Block(PoolDescription()).read().additive
    young, old = (
        Snapshot(PoolDescription(), 1, additive, overdue=(OverdueHold("", age),)) for age in (5, 7)
    )

    assert [each.age_ns for each in merge([young, old]).overdue] == [7, 5]
    assert keep_counters(old).overdue == ()


def test_the_family_has_each_holder_and_the_unknown_one_from_the_start() -> None:
    (family,) = [
        each for each in APP_FAMILIES if each.name == "sqlalchemy_pool_overdue_connections"
    ]
    holders = tuple(HolderNumbers(name, 1, 2, 3) for name in ("a", "b", "c"))
    pool = Snapshot(PoolDescription(), 1, Block(PoolDescription()).read().additive, holders=holders)
    late = pool._replace(overdue=tuple(OverdueHold(name, 1) for name in ("b", "c", "c", "")))
    limited = late._replace(holders=limit_holders(holders, {"a"}))

    def read(snapshot: Snapshot) -> dict[str, float]:
        names, numbers = family.read(snapshot)
        return {name: number for (name,), number in zip(names, numbers, strict=True)}

    assert read(pool) == {"": 0, "a": 0, "b": 0, "c": 0}
    assert read(late) == {"": 1, "a": 0, "b": 1, "c": 2}
    assert read(limited) == {"": 1, "a": 0, "other": 3}
    assert read(keep_counters(late)) == {}
