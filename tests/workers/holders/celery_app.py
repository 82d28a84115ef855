"""The same as celery's tasks; the worker sends them to itself through a folder."""

from __future__ import annotations

from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from celery.signals import worker_ready  # type: ignore[import-untyped]

from tests.workers.holders import work

INBOX, OUTBOX = work.FOLDER / "inbox", work.FOLDER / "outbox"
for each in (INBOX, OUTBOX):
    each.mkdir(exist_ok=True)

app = Celery("shop", broker="filesystem://")
app.conf.task_ignore_result = True
app.conf.broker_transport_options = {
    "data_folder_in": INBOX,
    "data_folder_out": OUTBOX,
    "control_folder": work.FOLDER / "control",
    "polling_interval": 0.01,
}


@app.task(name="shop.frequent")  # type: ignore[untyped-decorator]
def frequent(order: str) -> str:
    work.use()
    return order


@app.task(name="shop.call")  # type: ignore[untyped-decorator]
def call(order: str) -> str:
    work.hold_across_call()
    return order


@app.task(name="shop.lock")  # type: ignore[untyped-decorator]
def lock(order: str) -> str:
    work.wait_for_lock()
    return order


@app.task(name="shop.leak")  # type: ignore[untyped-decorator]
def leak(order: str) -> str:
    work.leak()
    return order


@app.task(name="shop.drop")  # type: ignore[untyped-decorator]
def drop(order: str) -> str:
    work.drop()
    return order


@worker_ready.connect  # type: ignore[untyped-decorator]
def send_all(**_: Any) -> None:
    for task in (frequent, frequent, frequent, leak, drop, call, lock):
        task.delay("secret")
        # kombu writes a message where its reader may find half of it.
        for message in OUTBOX.iterdir():
            message.rename(INBOX / message.name)
