"""What all parts of the web configuration have in common."""

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from exporter.settings.section import Section


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
