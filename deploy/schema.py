"""Generator of `$defs` in the schema of the chart's values: the exporter's settings and the alerts.

Helm validates values with the schema. The rest of the file is edited by hand. Run by
`make generated`.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

from sqlalchemy_pool_exporter.settings.schema import build_schema

SCHEMA: Final = Path(__file__).parent / "helm" / "values.schema.json"
ALERTS: Final = Path(__file__).parents[1] / "grafana" / "alerts" / "alerts.yaml"
# The chart has its own values for these, because it also needs them elsewhere: port, mountPath.
OF_THE_CHART: Final = {"config": ("listen",), "AppSettings": ("dir",)}
KEYS_OF_CONFIG: Final = ("additionalProperties", "patternProperties", "properties", "type")
# Helm reads patterns as Go's regular expressions, which do not support lookaheads.
_LOOKAHEAD: Final = re.compile(r"\(\?!.*?\)")


def build_definitions() -> dict[str, Any]:
    """Return the definitions: `config`, those that it refers to, and `alert`."""
    schema = build_schema()
    definitions: dict[str, Any] = {
        "config": {key: schema[key] for key in KEYS_OF_CONFIG},
        **schema["$defs"],
    }
    for name, keys in OF_THE_CHART.items():
        for key in keys:
            del definitions[name]["properties"][key]
    translated = {name: _translate(definition) for name, definition in definitions.items()}
    return {**translated, "alert": {"enum": read_alerts()}}


def read_alerts() -> list[str]:
    """Return the names of the alerts, in their order."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def render_values_schema(text: str) -> str:
    """Return the text of values.schema.json with the current definitions."""
    schema = json.loads(text)
    schema["$defs"] = build_definitions()
    return json.dumps(schema, indent=2) + "\n"


def _translate(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_translate(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    translated = {key: _translate(value) for key, value in schema.items()}
    if isinstance(translated.get("pattern"), str):
        translated["pattern"] = _LOOKAHEAD.sub("", translated["pattern"])
    return translated


if __name__ == "__main__":
    SCHEMA.write_text(render_values_schema(SCHEMA.read_text()))
