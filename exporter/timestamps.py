"""Moments as people and programs read them; it knows no clock."""

from datetime import UTC, datetime


def format_timestamp(unix_seconds: float) -> str:
    """Returns RFC 3339 in UTC with milliseconds: 2026-01-02T03:04:05.678Z."""
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
