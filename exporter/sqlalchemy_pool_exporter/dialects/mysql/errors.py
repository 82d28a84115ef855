"""The texts of the errors of MySQL and MariaDB; the agent knows their reasons."""

from __future__ import annotations

from sqlalchemy_pool_metrics.failures.exceptions import read_text
from sqlalchemy_pool_metrics.failures.mysql import read_number


def describe_error(error: BaseException) -> str | None:
    """Return the server's or client's text with its number, instead of the tuple of both."""
    number = read_number(error)
    if number is None or len(error.args) < 2:
        return None
    return f"{read_text(error.args[1])} (error {number})"
