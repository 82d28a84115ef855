"""Endpoints that use connections well and badly, in Flask; nothing here records the pool."""

from __future__ import annotations

from flask import Flask

from tests.workers.holders import work

app = Flask(__name__)


@app.get("/frequent/<order>")
def frequent(order: str) -> str:
    work.use()
    return order


@app.get("/call/<order>")
def call(order: str) -> str:
    work.hold_across_call()
    return order


@app.get("/lock/<order>")
def lock(order: str) -> str:
    work.wait_for_lock()
    return order


@app.get("/leak/<order>")
def leak(order: str) -> str:
    work.leak()
    return order


@app.get("/drop/<order>")
def drop(order: str) -> str:
    work.drop()
    return order
