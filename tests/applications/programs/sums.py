"""A Celery application whose results are in a database; its queue is a folder.

`send` prints the ids of twenty tasks, `add-up` the sum of their results. Send before a worker
starts: it fails on the file of a message that is still being written (kombu 5.7).
"""

import os
import sys
from pathlib import Path

from celery import Celery
from celery.result import AsyncResult

queue = Path("queue")
queue.mkdir(exist_ok=True)
app = Celery("sums", broker="filesystem://", backend=f"db+{os.environ['RESULTS']}")
app.conf.broker_transport_options = {
    "data_folder_in": queue,
    "data_folder_out": queue,
    "control_folder": Path("control"),
    "polling_interval": 0.01,
}


@app.task
def add(left: int, right: int) -> int:
    return left + right


if __name__ == "__main__":
    command, *ids = sys.argv[1:]
    if command == "send":
        print(*(add.delay(number, 1).id for number in range(20)))
    else:
        print(sum(AsyncResult(each, app=app).get(timeout=60) for each in ids))
