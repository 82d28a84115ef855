"""Send requests to celery's workers: `python -m tests.workers.shop.celery_front PORT`."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Lock

from tests.servers.conditions import wait_until
from tests.workers.shop.celery_tasks import ANSWERS, INBOX, OUTBOX, sell, wait_at_gate
from tests.workers.shop.front import serve_front

TASKS = {"/": sell, "/gate": wait_at_gate}
sending = Lock()


def ask(path: str) -> str:
    with sending:
        answer: Path = ANSWERS / TASKS[path].delay().id
        # kombu writes a message where its reader may find half of it.
        for message in OUTBOX.iterdir():
            message.rename(INBOX / message.name)
    wait_until(answer.exists, f"an answer to {path}")
    return answer.read_text()


if __name__ == "__main__":
    serve_front(int(sys.argv[1]), ask)
