"""A forked child counts from zero, in its own file, and nothing that its parent opened."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection, Engine

from sqlalchemy_pool_metrics import (
    MetricsQueuePool,
    read_pool,
    read_pools,
)
from tests.agent.children import (
    Child,
    build_shared_engine,
    find_pool,
    fork_in_c,
    in_child,
    read_files,
    read_total,
    use,
)
from tests.agent.stub_driver import StubDriver, build_engine

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs locks as Linux has them")


def numbers(engine: Engine) -> dict[str, int]:
    now = read_pool(engine)
    return {
        "checked_out": now.checked_out,
        "checked_in": now.checked_in,
        "checkouts": now.checkouts,
        "opened": now.connections_opened,
        "closed": now.counter("connections_closed_dispose"),
    }


def used_engine() -> Engine:
    engine = build_engine(MetricsQueuePool, StubDriver())
    out, back = engine.raw_connection(), engine.raw_connection()
    back.close()
    engine.info = out  # type: ignore[attr-defined]
    return engine


NOTHING = {"checked_out": 0, "checked_in": 0, "checkouts": 0, "opened": 0, "closed": 0}


def test_a_child_starts_at_zero_and_the_parent_keeps_its_numbers() -> None:
    engine = used_engine()
    before = numbers(engine)

    assert in_child(lambda: numbers(engine)) == NOTHING
    assert numbers(engine) == before
    assert before == {**NOTHING, "checked_out": 1, "checked_in": 1, "checkouts": 2, "opened": 2}


def test_a_child_counts_the_engines_that_it_inherited_at_their_first_use() -> None:
    engine = used_engine()

    def work() -> list[int]:
        before = read_pool(engine).counter("engines_created")
        engine.raw_connection().close()
        return [before, read_pool(engine).counter("engines_created")]

    assert in_child(work) == [0, 1]


def test_dispose_without_closing_does_not_count_the_parents_connections_as_closed() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        engine.dispose(close=False)
        engine.raw_connection().close()
        return numbers(engine)

    assert in_child(work) == {**NOTHING, "checked_in": 1, "checkouts": 1, "opened": 1}


def test_an_inherited_connection_counts_when_the_child_uses_it() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        with_it = engine.raw_connection()
        out = numbers(engine)
        with_it.close()
        return {"out": out, "back": numbers(engine)}

    answer = in_child(work)
    assert answer["out"] == {**NOTHING, "checked_out": 1, "checkouts": 1}
    assert answer["back"] == {**NOTHING, "checked_in": 1, "checkouts": 1}


def test_a_connection_that_was_out_at_the_fork_can_be_returned_in_the_child() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        engine.info.close()  # type: ignore[attr-defined]
        return numbers(engine)

    assert in_child(work) == {**NOTHING, "checked_in": 1}


def test_a_statement_on_a_connection_that_was_out_at_the_fork_makes_nothing_busy() -> None:
    driver = StubDriver()
    engine = build_engine(MetricsQueuePool, driver)
    out = engine.raw_connection()
    parents: Any = engine.pool
    parents_block = parents._recorder.block

    def work() -> list[int]:
        seen: list[int] = []
        driver.on_execute = lambda: seen.extend([read_pool(engine).busy, parents_block.busy])
        Connection(engine, connection=out).exec_driver_sql("SELECT 1")
        return [*seen, read_pool(engine).busy_ns, parents_block.busy]

    assert in_child(work) == [0, 0, 0, 0]


def test_a_connection_of_a_replaced_pool_is_idle_after_its_return_in_the_child() -> None:
    engine = used_engine()
    engine.dispose()

    def work() -> dict[str, Any]:
        engine.info.close()  # type: ignore[attr-defined]
        return numbers(engine)

    assert in_child(work) == {**NOTHING, "checked_in": 1}


def test_the_child_counts_none_of_the_parents_connections_as_lost() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        engine.dispose(close=False)
        gc.collect()
        return numbers(engine)

    assert in_child(work) == NOTHING


@needs_linux
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("fork", [os.fork, fork_in_c])
def test_a_forked_child_has_its_own_file(folder: Path, fork: Any) -> None:
    def parent() -> Any:
        engine = build_shared_engine()
        use(engine, 2)
        engine.info = engine.raw_connection()

        def child() -> list[int]:
            use(engine, 5)
            return [find_pool(each).checkouts for each in read_files(folder)[True]]

        seen = in_child(child, fork)
        use(engine)
        return [sorted(seen), read_pool(engine).checkouts]

    with Child(parent) as child:
        assert child.answer == [[3, 5], 4]
        assert read_total(folder).checkouts == 9


@needs_linux
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("fork", [os.fork, fork_in_c])
@pytest.mark.parametrize("event", ["return", "dispose", "forget", "invalidate", "soft invalidate"])
def test_a_childs_first_event_is_never_counted_in_its_parents_file(fork: Any, event: str) -> None:
    def parent() -> Any:
        engine = build_shared_engine()
        use(engine)
        out = [engine.raw_connection()]
        before = list(read_pool(engine).additive)

        def child() -> None:
            if event == "return":
                out.pop().close()
            elif event == "dispose":
                engine.dispose(close=False)
            elif event.endswith("invalidate"):
                out[0].invalidate(soft=event.startswith("soft"))
            else:
                out[0]._connection_record._ConnectionRecord__pool = None
                del engine.pool
                gc.collect()

        in_child(child, fork)
        now = read_pool(engine)
        return [before == list(now.additive), now.checked_out, now.checked_in]

    assert in_child(parent) == [True, 1, 0]


@needs_linux
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("fork", [os.fork, fork_in_c])
def test_a_child_that_reads_first_does_not_see_its_parents_numbers(fork: Any) -> None:
    def parent() -> Any:
        engine = build_shared_engine()
        use(engine, 3)
        return in_child(lambda: [each.checkouts for each in read_pools()], fork)

    assert sum(in_child(parent)) == 0
