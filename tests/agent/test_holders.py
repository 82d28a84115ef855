"""The name that the application gives to the holder of its connections."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from sqlalchemy_pool_metrics import (
    holder,
    holder_table,
    instrument,
    read_pool,
    read_pools,
    recorder,
)
from sqlalchemy_pool_metrics.block import Block
from sqlalchemy_pool_metrics.clock import monotonic_ns
from sqlalchemy_pool_metrics.file_format import LAG_NS
from sqlalchemy_pool_metrics.holder_table import HolderTable
from sqlalchemy_pool_metrics.holders import HOLDERS_VARIABLE
from sqlalchemy_pool_metrics.slot_buffer import SlotBuffer
from sqlalchemy_pool_metrics.slot_reader import read_snapshot


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = instrument(create_engine(f"sqlite:///{tmp_path}/shop.db"))
    yield engine
    engine.dispose()


def use(engine: Engine) -> None:
    with engine.connect():
        pass


def holds(engine: Any) -> dict[str, int]:
    return {each.name: each.holds for each in read_pool(engine).holders}


def test_the_innermost_name_holds_what_is_checked_out_in_a_block(engine: Engine) -> None:
    use(engine)
    with holder("report"):
        use(engine)
        with holder("totals"):
            use(engine)
        use(engine)
    use(engine)

    assert holds(engine) == {"report": 2, "totals": 1}


def test_a_name_that_is_no_text_becomes_one(engine: Engine) -> None:
    with holder(Path("report")):  # type: ignore[arg-type]
        use(engine)

    assert holds(engine) == {"report": 1}
    assert read_pool(engine).checked_out == 0


def test_a_decorator_without_a_name_is_refused_where_it_stands() -> None:
    with pytest.raises(TypeError, match="takes a name"):

        @holder  # type: ignore[arg-type]
        def report() -> None: ...


@pytest.mark.parametrize(("text", "is_on"), [(" True\n", True), ("ON", True), ("No ", False)])
def test_holders_are_switched_on_and_off_by_words(
    monkeypatch: pytest.MonkeyPatch, text: str, is_on: bool
) -> None:
    monkeypatch.setenv(HOLDERS_VARIABLE, text)

    engine = instrument(create_engine("sqlite://"), name=f"switched {text}")
    use(engine)
    assert bool(holds(engine)) == is_on


def test_a_word_that_is_neither_on_nor_off_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(HOLDERS_VARIABLE, "enabled")

    engine, _ = (instrument(create_engine("sqlite://"), name="unknown") for _ in range(2))
    use(engine)
    (line,) = caplog.messages
    assert HOLDERS_VARIABLE in line
    assert "'enabled'" in line
    assert holds(engine) == {}


def test_a_name_applies_to_functions_of_every_kind(engine: Engine) -> None:
    @holder("function")
    def function() -> str:
        use(engine)
        return "result"

    @holder("coroutine")
    async def coroutine() -> str:
        await asyncio.sleep(0)
        use(engine)
        return "result"

    async def run() -> tuple[str, str]:
        first, second = await asyncio.gather(coroutine(), other())
        return first, second

    async def other() -> str:
        await asyncio.sleep(0)
        use(engine)
        return "other"

    assert function() == "result"
    assert asyncio.run(run()) == ("result", "other")
    assert inspect.iscoroutinefunction(coroutine)
    assert holds(engine) == {"function": 1, "coroutine": 1}


def test_a_generators_steps_have_the_name_but_not_what_runs_between_them(engine: Engine) -> None:
    @holder("generator")
    def generate() -> Generator[int, int, None]:
        try:
            received = yield 1
            use(engine)
            yield received
        finally:
            use(engine)

    steps: Any = generate()
    assert next(steps) == 1
    use(engine)
    assert steps.send(2) == 2
    use(engine)
    steps.close()

    assert inspect.isgeneratorfunction(generate)
    assert holds(engine) == {"generator": 2}


def test_an_asynchronous_generators_steps_have_the_name(engine: Engine) -> None:
    @holder("generator")
    async def generate() -> AsyncGenerator[int, int]:
        try:
            received = yield 1
            use(engine)
            try:
                yield received
            except LookupError:
                use(engine)
                yield 3
        finally:
            use(engine)

    async def iterate() -> list[int]:
        steps: Any = generate()
        seen = [await steps.__anext__()]
        use(engine)
        seen.append(await steps.asend(2))
        use(engine)
        seen.append(await steps.athrow(LookupError()))
        await steps.aclose()
        return seen

    assert inspect.isasyncgenfunction(generate)
    assert asyncio.run(iterate()) == [1, 2, 3]
    assert holds(engine) == {"generator": 3}


def test_a_thread_has_the_name_if_it_runs_in_the_context(engine: Engine) -> None:
    with holder("report"):
        inside = threading.Thread(target=contextvars.copy_context().run, args=(use, engine))
        outside = threading.Thread(target=use, args=(engine,))
    for thread in (inside, outside):
        thread.start()
        thread.join()

    assert holds(engine) == {"report": 1}


def test_a_name_reaches_the_connections_of_an_async_engine(tmp_path: Path) -> None:
    engine = instrument(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db"))

    async def run() -> None:
        with holder("report"):
            async with engine.connect():
                (held,) = read_pool(engine).holders
                assert (held.name, held.connections) == ("report", 1)
        await engine.dispose()

    asyncio.run(run())
    (held,) = read_pool(engine).holders
    assert (held.connections, held.holds) == (0, 1)


def test_holders_stay_apart_and_keep_their_time_while_connections_are_out(engine: Engine) -> None:
    with holder("short"):
        use(engine)
    with holder("long"), engine.connect():
        first = read_pool(engine).holders
        second = read_pool(engine).holders

    assert [each.name for each in second] == ["short", "long"]
    assert [each.connections for each in second] == [0, 1]
    assert second[0].held_ns == first[0].held_ns > 0
    assert read_pool(engine).holders[1].held_ns >= second[1].held_ns >= first[1].held_ns
    whole = sum(each.held_ns for each in read_pool(engine).holders)
    assert whole == pytest.approx(read_pool(engine).checked_out_ns, abs=4 * 4096)


def test_another_process_sees_a_hold_that_has_just_begun(engine: Engine) -> None:
    began_ns = monotonic_ns()
    for _ in range(3):  # only the first checkout finds the pool as it has never been before
        with holder("report"), engine.connect():
            block: Block = engine.pool._recorder.block  # type: ignore[attr-defined]
            now = read_snapshot(block.description, block.slots, monotonic_ns(), lag_ns=LAG_NS)
        (held,) = now.holders
        assert held.connections == 1
        assert held.held_ns <= monotonic_ns() - began_ns


def test_beyond_63_names_the_rest_is_other(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.detach()
    for number in range(70):
        with holder(f"holder {number}"):
            use(engine)
    with holder("holder 69"), engine.connect():
        out = {each.name: each.connections for each in read_pool(engine).holders}

    assert len(out) == 64
    assert out["other"] == sum(out.values()) == 1
    assert holds(engine)["other"] == 70 - 63 + 1


def test_a_block_that_moves_while_a_holder_is_added_keeps_its_connection(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector may run there, and return a leaked connection, whose block moves."""
    use(engine)
    pool: Any = engine.pool
    block, clean, moves = pool._recorder.block, holder_table._clean, [SlotBuffer()]

    def move_and_clean(*text: Any) -> str:
        while moves:
            block.move(moves.pop())
        return clean(*text)

    monkeypatch.setattr(holder_table, "_clean", move_and_clean)
    with holder("report"), engine.connect():
        assert not moves
        (held,) = read_pool(engine).holders
        assert (held.name, held.connections, read_pool(engine).checked_out) == ("report", 1, 1)
    (held,) = read_pool(engine).holders
    assert (held.connections, held.holds, read_pool(engine).checked_out) == (0, 1, 0)
    assert read_pool(engine).checkouts == 2


def test_a_block_that_moves_while_a_new_thread_looks_up_its_id_keeps_its_holders(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool: Any = engine.pool
    block, target = pool._recorder.block, SlotBuffer()
    target.holders.find("import", "")

    def move_and_get() -> int:
        block.move(target)
        return threading.get_native_id()

    def report() -> None:
        with holder("report"):
            use(engine)

    report()
    monkeypatch.setattr(recorder, "threading", SimpleNamespace(get_native_id=move_and_get))
    with ThreadPoolExecutor() as executor:
        executor.submit(report).result()
    assert block.buffer is target
    report()

    assert holds(engine) == {"import": 0, "report": 3}


def test_call_sites_of_generated_code_use_bounded_memory() -> None:
    table = HolderTable(SlotBuffer().slots)
    for number in range(2 * holder_table.MAX_DETAILS):
        row, _ = table.find("report", f"generated.py:{number} run")
    assert len(row.details) <= holder_table.MAX_DETAILS


def test_long_names_use_up_the_room_and_a_name_is_one_short_line(engine: Engine) -> None:
    for name in ("two\nlines\x00", "ä" * 100):
        with holder(name):
            use(engine)
    for number in range(40):
        with holder(f"{number:02}" + "x" * 100):
            use(engine)

    names = list(holds(engine))
    assert names[0] == "two\ufffdlines\ufffd"
    assert names[1] == "ä" * 40
    assert names[2] == "00" + "x" * 78
    assert holds(engine)["other"] == 42 - (len(names) - 1) > 0


def test_the_holders_of_a_dropped_engine_stay_in_the_sum_and_out_of_the_next_engine(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    for _ in range(3):
        engine = instrument(create_engine(url), name="dropped and again")
        with holder("report"):
            use(engine)
        engine.dispose()
        assert holds(engine) == {"report": 1}
        del engine
    (total,) = [each for each in read_pools() if each.pool.name == "dropped and again"]

    assert [(each.name, each.holds) for each in total.holders] == [("report", 3)]


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_a_leak_belongs_to_the_holder_also_in_a_pool_that_is_renamed(engine: Engine) -> None:
    instrument(engine, name="leaks before")
    with holder("import"):
        use(engine)
    with holder("report"):
        first, second = engine.raw_connection(), engine.raw_connection()
    del first
    instrument(engine, name="leaks after")
    del second

    (before,) = [each for each in read_pools() if each.pool.name == "leaks before"]
    (after,) = [each for each in read_pools() if each.pool.name == "leaks after"]
    assert [(each.name, each.leaks) for each in before.holders] == [("import", 0), ("report", 1)]
    assert [(each.name, each.leaks) for each in after.holders] == [("report", 1)]


def test_a_pool_that_is_renamed_keeps_what_its_holders_have(engine: Engine) -> None:
    instrument(engine, name="before")
    with holder("report"), engine.connect():
        instrument(engine, name="after")
        (now,) = read_pool(engine).holders
        assert (now.connections, now.holds) == (1, 0)
        (before,) = [each for each in read_pools() if each.pool.name == "before"]
        assert [(each.connections, each.holds) for each in before.holders] == [(0, 1)]

    (after,) = read_pool(engine).holders
    assert after.connections == 0
    assert 0 < before.holders[0].held_ns < after.held_ns == read_pool(engine).checked_out_ns


def test_a_connection_does_not_keep_the_holder_that_it_had_before_its_pool_was_renamed(
    engine: Engine,
) -> None:
    instrument(engine, name="before")
    with holder("report"), engine.connect():
        use(engine)
    instrument(engine, name="after")
    use(engine)
    with engine.connect() as connection:  # one that nothing was recorded for since then
        connection.exec_driver_sql("SELECT 1")
        with holder("import"):
            use(engine)

    now = read_pool(engine)
    assert (now.checked_out, now.checked_in, now.busy) == (0, 2, 0)
    assert holds(engine) == {"import": 1}
