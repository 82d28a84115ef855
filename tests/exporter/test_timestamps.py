"""Moments are written one way everywhere."""

from sqlalchemy_pool_exporter.logs import format_timestamp


def test_moment_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert format_timestamp(1767323045.6789) == "2026-01-02T03:04:05.678Z"
    assert format_timestamp(0) == "1970-01-01T00:00:00.000Z"
