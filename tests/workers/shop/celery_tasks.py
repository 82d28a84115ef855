"""The shop as celery's tasks; their queue is a folder, so that no broker is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from celery.signals import worker_process_init  # type: ignore[import-untyped]

from tests.workers.shop import sales

FOLDER = Path(os.environ["SHOP_FOLDER"])
INBOX = FOLDER / "inbox"
OUTBOX = FOLDER / "outbox"
ANSWERS = FOLDER / "answers"
for each in (INBOX, OUTBOX, ANSWERS):
    each.mkdir(exist_ok=True)

app = Celery("shop", broker="filesystem://")
app.conf.task_ignore_result = True
app.conf.broker_transport_options = {
    "data_folder_in": INBOX,
    "data_folder_out": OUTBOX,
    "control_folder": FOLDER / "control",
    "polling_interval": 0.01,
}


@worker_process_init.connect  # type: ignore[untyped-decorator]
def begin_worker(**_: object) -> None:
    sales.begin_worker()


@app.task(bind=True)  # type: ignore[untyped-decorator]
def sell(task: Any) -> None:
    answer(task.request.id, sales.sell())


@app.task(bind=True)  # type: ignore[untyped-decorator]
def wait_at_gate(task: Any) -> None:
    answer(task.request.id, sales.wait_at_gate())


def answer(name: str, text: str) -> None:
    """Put the answer where `celery_front` looks, in one step."""
    unfinished = ANSWERS / f"{name}.unfinished"
    unfinished.write_text(text)
    unfinished.rename(ANSWERS / name)
