"""What all parts of the configuration have in common."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from sqlalchemy_pool_exporter.settings.errors import expect


class Section(BaseModel):
    """A mapping with known keys. It never changes, and its errors do not quote their input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _reject_bool(value: Any) -> Any:
    """Python takes true for 1, a reader does not."""
    if isinstance(value, bool):
        raise expect("a whole number")
    return value


def _reject_empty(value: Any) -> Any:
    """Python takes no text for the folder that it is in."""
    if value == "":
        raise expect("a path", shown="got ''")
    return value


FilePath = Annotated[Path, BeforeValidator(_reject_empty)]
WholeNumber = Annotated[int, BeforeValidator(_reject_bool)]

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
EXPECTED: Final = "a duration like 500ms, 15s, 5m or 1h"
# Longer ones are slips, and what counts milliseconds in 32 bits has no room for them.
LONGEST_SECONDS: Final = 24 * 86400.0
# For people who write it as SQLAlchemy does (-1) or as environment variables must.
NEVER: Final = frozenset({"none", "null", "never", "-1"})

_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_PARTS: Final = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_JSON_SCHEMA: Final[list[dict[str, Any]]] = [
    {"type": "number", "minimum": 0},
    {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$|^[0-9]+(\.[0-9]+)?$"},
]


def parse_duration(value: object) -> float:
    """Returns seconds, from zero to LONGEST_SECONDS. Raises PydanticCustomError for the rest."""
    seconds = _read_text(value.strip()) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise expect(EXPECTED)
    if not 0 <= seconds < math.inf:
        raise expect(EXPECTED)
    if seconds > LONGEST_SECONDS:
        raise expect(f"{EXPECTED}, at most {LONGEST_SECONDS / UNITS['d']:g}d")
    return float(seconds)


def parse_positive_duration(value: object) -> float:
    """As `parse_duration`, and more than zero."""
    seconds = parse_duration(value)
    if seconds == 0:
        raise expect(f"{EXPECTED}, above zero")
    return seconds


def parse_optional_duration(value: object) -> float | None:
    """As `parse_positive_duration`; None for null, none, never and -1."""
    if value is None or (isinstance(value, str | int) and str(value).strip().lower() in NEVER):
        return None
    try:
        return parse_positive_duration(value)
    except PydanticCustomError as error:
        context = error.context or {}
        raise expect(f"{context['expected']}, or null") from None


def _read_text(text: str) -> float | None:
    if _PARTS.fullmatch(text):
        return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
    return float(text) if _NUMBER.fullmatch(text) else None


Duration = Annotated[
    float, BeforeValidator(parse_duration), WithJsonSchema({"anyOf": _JSON_SCHEMA})
]
PositiveDuration = Annotated[
    float, BeforeValidator(parse_positive_duration), WithJsonSchema({"anyOf": _JSON_SCHEMA})
]
OptionalDuration = Annotated[
    float | None,
    BeforeValidator(parse_optional_duration),
    WithJsonSchema({"anyOf": [*_JSON_SCHEMA, {"const": -1}, {"type": "null"}]}),
]


class WebSection(Section):
    """A mapping in which a key without a value, or with an empty one, is as good as left out."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, data: Any) -> Any:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None and value != ""}
