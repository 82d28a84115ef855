"""Labels a user adds to a database's metrics: which names are allowed."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator

from exporter.redaction import redact
from exporter.settings.errors import expect

# https://prometheus.io/docs/concepts/data_model/ and every label of the metric catalogue.
PATTERN: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
RESERVED: Final = frozenset(
    {
        *("origin", "pool", "database", "application", "process"),
        *("reason", "kind", "result", "phase", "state", "le", "quantile"),
        *("dialect", "driver", "server_version", "collector", "version", "python", "sqlalchemy"),
    }
)


def check_label_name(name: str) -> str:
    """Returns the name. Raises PydanticCustomError for one that is not free, or no name."""
    if not re.fullmatch(PATTERN, name) or name.startswith("__"):
        raise expect("a label name of letters, digits and _, not starting with a digit or __")
    if name in RESERVED:
        raise expect(f"another name: the metrics have a label {name} of their own")
    return name


def check_label_value(value: str) -> str:
    """Returns the value. Raises PydanticCustomError for one that holds a password."""
    if redact(value) != value:
        raise expect("text without a password: whoever reads the metrics reads it", shown="got ***")
    return value


LabelValue = Annotated[str, AfterValidator(check_label_value)]
LabelName = Annotated[str, AfterValidator(check_label_name)]
NAMES_SCHEMA: Final[dict[str, Any]] = {
    "propertyNames": {"pattern": rf"^(?!__){PATTERN}$", "not": {"enum": sorted(RESERVED)}}
}
