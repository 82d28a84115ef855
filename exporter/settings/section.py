"""What all parts of the configuration have in common."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from exporter.settings.errors import expect


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
