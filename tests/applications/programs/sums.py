"""A Celery application whose results are in a database; its queue is a folder."""

import os
from pathlib import Path

from celery import Celery, group

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
    print(sum(group(add.s(number, 1) for number in range(20))().get(timeout=60)))
