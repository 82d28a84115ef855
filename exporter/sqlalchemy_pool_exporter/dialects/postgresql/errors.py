"""The texts of the errors of PostgreSQL and PgBouncer; the agent knows their reasons."""

from __future__ import annotations

from sqlalchemy_pool_exporter.failures.message import read_first_lines
from sqlalchemy_pool_metrics.failures.postgresql import read_fields, read_sqlstate


def describe_error(error: BaseException) -> str | None:
    """Return the text with its SQLSTATE."""
    state = read_sqlstate(error)
    text = read_fields(error).get("M") or read_first_lines(error)
    return f"{text} (SQLSTATE {state})" if state and text else None
