"""Endpoints that use connections well and badly, in Flask; nothing here records the pool."""

from __future__ import annotations

from flask import Flask

from tests.workers.holders import work

app = Flask(__name__)


@app.get("/frequent/<order>")
def frequent(order: str) -> str:
    work.use()
    return order


@app.get("/slow/<order>")
def slow(order: str) -> str:
    work.hold_until_released()
    return order


@app.get("/leak/<order>")
def leak(order: str) -> str:
    work.leak()
    return order
