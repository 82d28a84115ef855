"""A forked child counts from zero, and never what its parent opened."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from sqlalchemy_pool_metrics import MetricsQueuePool, read_pool
from tests.agent.stub_driver import StubDriver, build_engine

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` returns in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        result: dict[str, Any] = json.load(answer)
    os.waitpid(child, 0)
    return result


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


def test_a_child_begins_at_zero_while_the_parent_keeps_its_numbers() -> None:
    engine = used_engine()
    before = numbers(engine)

    assert in_child(lambda: numbers(engine)) == NOTHING
    assert numbers(engine) == before
    assert before == {**NOTHING, "checked_out": 1, "checked_in": 1, "checkouts": 2, "opened": 2}


def test_dispose_without_closing_does_not_count_the_parents_connections_as_closed() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        engine.dispose(close=False)
        engine.raw_connection().close()
        return numbers(engine)

    assert in_child(work) == {**NOTHING, "checked_in": 1, "checkouts": 1, "opened": 1}


def test_a_connection_taken_over_from_the_parent_counts_once_the_child_uses_it() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        with_it = engine.raw_connection()
        out = numbers(engine)
        with_it.close()
        return {"out": out, "back": numbers(engine)}

    answer = in_child(work)
    assert answer["out"] == {**NOTHING, "checked_out": 1, "checkouts": 1}
    assert answer["back"] == {**NOTHING, "checked_in": 1, "checkouts": 1}


def test_a_connection_that_was_out_at_the_fork_comes_back_in_the_child() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        engine.info.close()  # type: ignore[attr-defined]
        return numbers(engine)

    assert in_child(work) == {**NOTHING, "checked_in": 1}


def test_a_connection_of_a_pool_that_was_replaced_is_not_checked_in_in_the_child() -> None:
    engine = used_engine()
    engine.dispose()

    def work() -> dict[str, Any]:
        engine.info.close()  # type: ignore[attr-defined]
        return numbers(engine)

    assert in_child(work) == NOTHING


def test_the_parents_connections_are_not_lost_in_the_child() -> None:
    engine = used_engine()

    def work() -> dict[str, Any]:
        engine.dispose(close=False)
        gc.collect()
        return numbers(engine)

    assert in_child(work) == NOTHING
