"""The shop's sales, for servers with processes and threads."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sqlalchemy_pool_metrics import MetricsQueuePool, instrument
from tests.workers.shop.pool import ARGUMENTS, SELL, WAIT_AT_GATE, name_connection

# "200 4711": what came of it, and in which process.
SOLD = "200"
TIMED_OUT = "503"


def build_engine(url: str, switch: str) -> Engine:
    """Return an engine whose pool is recorded, switched on in this way."""
    if switch == "class":
        return create_engine(url, poolclass=MetricsQueuePool, **ARGUMENTS)
    if switch == "plugin":
        return create_engine(url, plugins=["pool_metrics"], **ARGUMENTS)
    return instrument(create_engine(url, **ARGUMENTS))


engine = build_engine(os.environ["SHOP_URL"], os.environ.get("SHOP_SWITCH", "instrument"))


@event.listens_for(engine, "do_connect")
def name_it(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    parameters["application_name"] = name_connection()


def sell() -> str:
    """Make a short sale."""
    return work(SELL)


def wait_at_gate() -> str:
    """Make a sale that keeps its connection until the gate opens."""
    return work(WAIT_AT_GATE)


def work(statement: str) -> str:
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except PoolTimeoutError:
        return f"{TIMED_OUT} {os.getpid()}"
    return f"{SOLD} {os.getpid()}"


def begin_worker() -> None:
    """Prepare a worker: connections opened before the fork are its parent's."""
    if OPENS_EARLY:
        engine.dispose(close=False)


OPENS_EARLY = bool(os.environ.get("SHOP_OPENS_EARLY"))
if OPENS_EARLY:  # as programs do that read a catalogue when they start
    sell()
