"""A Flask app under gunicorn; README.md tells how to run it and the exporter beside it."""

import os

from flask import Flask
from sqlalchemy import create_engine, text

from sqlalchemy_pool_metrics import instrument

app = Flask(__name__)
engine = create_engine(os.environ["DATABASE_URL"], pool_size=5)
instrument(engine, name="orders")  # this is all


@app.get("/")
def read_time() -> dict[str, str]:
    with engine.connect() as connection:
        return {"now": connection.scalar(text("SELECT now()::text"))}
