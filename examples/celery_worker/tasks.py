"""A celery worker; README.md explains how to run it with the exporter."""

import os
from pathlib import Path

from celery import Celery
from sqlalchemy import create_engine, text

# `?plugin=pool_metrics` in DATABASE_URL switches recording on: the code needs no change.
engine = create_engine(os.environ["DATABASE_URL"], pool_size=5)

# A folder as queue, so that the example needs no broker such as redis or amqp.
queue = Path(os.environ.get("QUEUE_DIR", "/tmp/example-queue"))  # noqa: S108
queue.mkdir(exist_ok=True)
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": queue,
    "data_folder_out": queue,
    "control_folder": queue / "control",
}


@app.task(ignore_result=True)
def check_orders() -> None:
    """Run a query."""
    with engine.connect() as connection:
        connection.execute(text("SELECT now()"))
