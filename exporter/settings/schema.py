"""The JSON Schema of the configuration file, for editors: config/schema.json."""

import json
from typing import Any

from exporter.settings.settings import Settings


def build_schema() -> dict[str, Any]:
    """Every key with its type, default and explanation; unknown keys are not allowed."""
    schema = Settings.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def render_schema() -> str:
    return json.dumps(build_schema(), indent=2) + "\n"
