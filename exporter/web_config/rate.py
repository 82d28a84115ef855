"""How often requests are answered."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from exporter.settings.durations import parse_duration
from exporter.settings.errors import expect
from exporter.settings.section import WholeNumber
from exporter.web_config.section import WebSection

EXPECTED: Final = "a duration with its unit like 100ms or 1s, 0 for no limit"


def _parse_interval(value: Any) -> float:
    """A number is nanoseconds to the toolkit and seconds to our settings: neither is meant here."""
    if isinstance(value, int | float) and value != 0:
        raise expect(EXPECTED)
    return parse_duration(value)


class RateLimit(WebSection):
    """A request every `interval` seconds, and `burst` of them at once; off without an interval."""

    interval: Annotated[float, BeforeValidator(_parse_interval)] = 0
    burst: WholeNumber = Field(default=0, ge=0, validate_default=True)

    @field_validator("burst")
    @classmethod
    def _check_burst(cls, burst: int, info: ValidationInfo) -> int:
        """To the toolkit this is valid, and then nobody gets an answer."""
        if not burst and info.data.get("interval"):
            raise expect("at least 1: with none no request is ever answered")
        return burst
