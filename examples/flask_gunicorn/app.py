"""A Flask app under gunicorn; README.md explains how to run it with the exporter."""

import os

from flask import Flask
from sqlalchemy import create_engine, text

from sqlalchemy_pool_metrics import instrument

app = Flask(__name__)
engine = create_engine(os.environ["DATABASE_URL"], pool_size=5)
instrument(engine, name="orders")  # the only line for the exporter


@app.get("/")
def read_time() -> dict[str, str]:
    """Return the database's time."""
    with engine.connect() as connection:
        return {"now": connection.scalar(text("SELECT now()::text"))}
