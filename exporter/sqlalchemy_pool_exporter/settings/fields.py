"""Types that several sections of the configuration share: durations, paths, numbers, addresses."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from sqlalchemy_pool_exporter.settings.errors import expect
from sqlalchemy_pool_exporter.urls import has_variable

DEFAULT_LISTEN: Final = "0.0.0.0:9723"
EXPECTED_ADDRESS: Final = (
    f"host:port like {DEFAULT_LISTEN} or [::1]:9723, without http:// and path, port at most 65535"
)
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<bracketed>[\w:.%]+)\]|(?P<host>[^:\[\]\s/]*)):(?P<port>[0-9]{1,5})"
)
FILLED_IN: Final = "a value whose variables were filled in before"

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
EXPECTED_DURATION: Final = "a duration like 500ms, 15s, 5m or 1h"
# Longer durations are typing errors, and drivers that count milliseconds in 32 bits overflow.
LONGEST_SECONDS: Final = 24 * 86400.0
# SQLAlchemy writes -1 for "never", and environment variables cannot hold null.
NEVER: Final = frozenset({"none", "null", "never", "-1"})
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_PARTS: Final = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_DURATION_SCHEMA: Final[list[dict[str, Any]]] = [
    {"type": "number", "minimum": 0},
    {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$|^[0-9]+(\.[0-9]+)?$"},
]


class Section(BaseModel):
    """A mapping with a fixed set of keys. It is immutable, and its errors do not quote input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WebSection(Section):
    """A section in which null and empty text mean the default, as in Prometheus' Go exporters."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, data: Any) -> Any:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None and value != ""}


class AddressError(ValueError):
    """The address cannot be parsed or listened on; the text is one line for people."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host, empty for all interfaces, and a port, 0 for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return host:port as `parse_address` reads it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse host:port, [IPv6]:port or :port. Raises AddressError."""
    match = _ADDRESS.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise AddressError(f"got {text!r}, expected {EXPECTED_ADDRESS}")
    return Address(match["bracketed"] or match["host"] or "", int(match["port"]))


def parse_duration(value: object) -> float:
    """Return seconds, from zero to LONGEST_SECONDS. Raises PydanticCustomError."""
    seconds = _read_duration(value.strip()) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise expect(EXPECTED_DURATION)
    if not 0 <= seconds < math.inf:
        raise expect(EXPECTED_DURATION)
    if seconds > LONGEST_SECONDS:
        raise expect(f"{EXPECTED_DURATION}, at most {LONGEST_SECONDS / UNITS['d']:g}d")
    return float(seconds)


def parse_positive_duration(value: object) -> float:
    """Return seconds as `parse_duration` does, but refuse zero."""
    seconds = parse_duration(value)
    if seconds == 0:
        raise expect(f"{EXPECTED_DURATION}, above zero")
    return seconds


def parse_optional_duration(value: object) -> float | None:
    """Return seconds as `parse_positive_duration` does, None for null, none, never and -1."""
    if value is None or (isinstance(value, str | int) and str(value).strip().lower() in NEVER):
        return None
    try:
        return parse_positive_duration(value)
    except PydanticCustomError as error:
        context = error.context or {}
        raise expect(f"{context['expected']}, or null") from None


def _read_duration(text: str) -> float | None:
    if _PARTS.fullmatch(text):
        return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
    return float(text) if _NUMBER.fullmatch(text) else None


def _reject_bool(value: Any) -> Any:
    # Python counts True as 1.
    if isinstance(value, bool):
        raise expect("a valid integer")
    return value


def reject_variables(text: str) -> None:
    """Raise PydanticCustomError for text with a variable that nobody has replaced."""
    if has_variable(text):
        raise expect(FILLED_IN)


def _check_path(value: Any) -> Any:
    # Path("") would be the current folder.
    if value == "":
        raise expect("a path", shown="got ''")
    if not isinstance(value, str | Path):
        raise expect("a path")
    reject_variables(str(value))
    return value


FilePath = Annotated[Path, BeforeValidator(_check_path)]
WholeNumber = Annotated[int, BeforeValidator(_reject_bool)]
Duration = Annotated[
    float, BeforeValidator(parse_duration), WithJsonSchema({"anyOf": _DURATION_SCHEMA})
]
PositiveDuration = Annotated[
    float, BeforeValidator(parse_positive_duration), WithJsonSchema({"anyOf": _DURATION_SCHEMA})
]
OptionalDuration = Annotated[
    float | None,
    BeforeValidator(parse_optional_duration),
    WithJsonSchema({"anyOf": [*_DURATION_SCHEMA, {"const": -1}, {"type": "null"}]}),
]
