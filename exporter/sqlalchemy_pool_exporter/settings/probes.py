"""When and how a database is probed."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sqlalchemy_pool_exporter.settings.errors import expect
from sqlalchemy_pool_exporter.settings.fields import (
    FILLED_IN,
    PositiveDuration,
    Section,
    parse_duration,
)
from sqlalchemy_pool_exporter.urls import is_variable

INTERVAL = 15.0
TIMEOUT = 5.0
FRESH_CONNECTION_INTERVAL = 60.0


class ProbeSettings(Section):
    """When and how to probe, in seconds: timeout <= interval <= fresh_connection_interval."""

    interval: PositiveDuration = Field(default=INTERVAL, description="Time between two probes")
    timeout: PositiveDuration = Field(
        default=TIMEOUT, description="Time limit for a whole probe, at most the interval"
    )
    fresh_connection_interval: PositiveDuration = Field(
        default=FRESH_CONNECTION_INTERVAL,
        description="How often a probe opens a new connection, at least the interval",
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        repr=False,
        description="The query that a probe runs; null is SELECT 1, as the database writes it",
    )

    @model_validator(mode="before")
    @classmethod
    def _fit_defaults(cls, data: Any) -> Any:
        """Choose defaults that fit the values given: a timeout of 1m makes the interval 1m."""
        if not isinstance(data, Mapping):
            return data
        timeout = _read_seconds(data, "timeout")
        interval = _read_seconds(data, "interval") or max(INTERVAL, timeout or 0)
        defaults = {
            "interval": interval,
            "timeout": min(TIMEOUT, interval),
            "fresh_connection_interval": max(FRESH_CONNECTION_INTERVAL, interval),
        }
        return {**defaults, **data}

    @field_validator("query")
    @classmethod
    def _check_query(cls, value: str | None) -> str | None:
        if value is not None and is_variable(value):
            raise expect(FILLED_IN)
        return value

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, value: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval", value)
        if value > interval:
            raise expect(f"at most the interval, {interval:g}s")
        return value

    @field_validator("fresh_connection_interval")
    @classmethod
    def _check_fresh(cls, value: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval", value)
        if value < interval:
            raise expect(f"at least the interval, {interval:g}s")
        return value


def _read_seconds(data: Mapping[str, Any], key: str) -> float | None:
    """Return the value if it is a duration. The validators report the others."""
    try:
        return parse_duration(data[key])
    except (KeyError, PydanticCustomError):
        return None
