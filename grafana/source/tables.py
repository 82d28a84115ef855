"""Tables of instant queries: one row for each set of labels, one column for each query."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import common as styles
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.source.panels import DATASOURCE, build_target
from grafana.source.queries import Query
from grafana.source.thresholds import Steps, build_names, build_thresholds

# Column headings of the labels, in order. Other labels are hidden, but available for links.
_HEADINGS: Final = {
    "alertname": "Alert",
    "severity": "Severity",
    "holder": "Holder",
    "database": "Database",
    "pool": "Pool",
    "application": "Application",
    "namespace": "Namespace",
    "at": "Pod",
    "pool_class": "Class",
    "timeout": "Timeout",
    "recycle": "Recycle",
    "pre_ping": "Pre-ping",
    "use_lifo": "LIFO",
    "reset_on_return": "Reset",
    "dialect": "Dialect",
    "driver": "Driver",
    "server_version": "Server",
    "sqlalchemy_version": "SQLAlchemy",
    "agent_version": "Agent",
    "version": "Version",
    "python": "Python",
    "sqlalchemy": "SQLAlchemy",
}
_HIDDEN: Final = ("job", "instance", "pod")
_DROPPED: Final = ("Time", "__name__", "alertstate", "origin")


@dataclass(frozen=True, slots=True)
class Column:
    """One query of a table; `names` are words and colours for values, `steps` colour the others."""

    title: str
    expr: str
    unit: str = "short"
    decimals: int | None = None
    steps: Steps = ()
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    hidden: bool = False


def build_table(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    first: Sequence[str],
    sort: str,
    no_value: str,
    descending: bool = True,
    links: dict[str, dict[str, Any]] | None = None,
) -> table.Panel:
    """Return a table that begins with the labels `first`; `links` are put on labels' columns."""
    panel = (
        table.Panel()
        .unit("short")
        .no_value(no_value)
        .sort_by([styles.TableSortByFieldState().display_name(sort).desc(descending)])
        .filterable(True)
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(_build_targets(columns))
        .transformations(_build_transformations(columns, first))
    )
    for column in columns:
        panel.override_by_name(column.title, _describe_column(column))
    for label in _HIDDEN:
        panel.override_by_name(label, [_property("custom.hidden", True)])
    # A version is not a number, and a missing label must not empty the table.
    texts = "|".join(_HEADINGS.values())
    panel.override_by_regexp(
        f"/^({texts})$/", [_property("unit", "string"), _property("noValue", "")]
    )
    for label, link in (links or {}).items():
        panel.override_by_name(_HEADINGS[label], [_property("links", [link])])
    return panel


def _build_targets(columns: Sequence[Column]) -> list[Builder[variants.Dataquery]]:
    return [
        build_target(_name(position), Query(column.expr), instant=True).format(
            PromQueryFormat.TABLE
        )
        for position, column in enumerate(columns)
    ]


def _build_transformations(
    columns: Sequence[Column], first: Sequence[str]
) -> list[dashboard.DataTransformerConfig]:
    # Grafana calls a column "Value" when only one query has an answer.
    values = {
        f"Value #{_name(position)}": column.title for position, column in enumerate(columns)
    } | {"Value": columns[0].title}
    order = [*first, *(label for label in _HEADINGS if label not in first), *values]
    options = {
        "excludeByName": dict.fromkeys(_DROPPED, True),
        "indexByName": {name: position for position, name in enumerate(order)},
        "renameByName": _HEADINGS | values,
    }
    return [
        dashboard.DataTransformerConfig(id_val="merge", options={}),
        dashboard.DataTransformerConfig(id_val="organize", options=options),
    ]


def _describe_column(column: Column) -> list[dashboard.DynamicConfigValue]:
    # The panel's no_value is for a table without rows; this is for single empty cells.
    properties = [_property("unit", column.unit), _property("noValue", "-")]
    if column.decimals is not None:
        properties.append(_property("decimals", column.decimals))
    if column.hidden:
        properties.append(_property("custom.hidden", True))
    if column.steps:
        properties.append(_property("thresholds", build_thresholds(column.steps).build()))
    if column.names:
        properties.append(_property("mappings", [build_names(column.names)]))
    if column.steps or column.names:
        properties.append(_property("custom.cellOptions", {"type": "color-text"}))
    return properties


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=name, value=value)


def _name(position: int) -> str:
    return chr(ord("A") + position)
