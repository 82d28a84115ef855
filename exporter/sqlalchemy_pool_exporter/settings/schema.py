"""The JSON Schema of the configuration file, for editors: config/schema.json."""

import json
from typing import Any, Final

from sqlalchemy_pool_exporter.settings.settings import Settings

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def build_schema() -> dict[str, Any]:
    """Return the schema: every key with its type, default and description, and no other keys."""
    schema: dict[str, Any] = _drop_titles(Settings.model_json_schema(by_alias=True))
    return {"$schema": DIALECT, "title": "sqlalchemy-pool-exporter", **schema}


def render_schema() -> str:
    """Return the schema as the text of the file."""
    return json.dumps(build_schema(), indent=2) + "\n"


def _drop_titles(schema: Any) -> Any:
    """Remove the titles that pydantic derives from the keys ("Url File")."""
    if isinstance(schema, list):
        return [_drop_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _drop_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
