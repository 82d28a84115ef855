"""The queries of the committed dashboards as Grafana sends them, with their variables set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "dashboards"
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# Grafana's values for one hour on a wide screen and a scrape every 15 s.
INTERVALS = {"__rate_interval": "1m", "__range": "1h"}

Json = dict[str, Any]


class PanelQuery(NamedTuple):
    """A query, the title of its panel and that of its row."""

    title: str
    expr: str
    row: str


def load_dashboard(name: str) -> Json:
    """Return the dashboard of a file like overview.json."""
    loaded: Json = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def list_variables(dashboard: Json) -> set[str]:
    """Return the names of the variables."""
    return {each["name"] for each in dashboard["templating"]["list"]}


def list_panels(dashboard: Json) -> Iterator[tuple[str, Json]]:
    """Yield each panel with the title of its row; rows themselves are left out."""
    row = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            yield row, panel


def list_queries(
    dashboard: Json, variables: Mapping[str, str | Sequence[str]] | None = None
) -> list[PanelQuery]:
    """Return every query of every panel; variables that are not given have their defaults."""
    values = {**read_defaults(dashboard), **INTERVALS, **(variables or {})}
    return [
        PanelQuery(panel["title"], fill(target["expr"], values), row)
        for row, panel in list_panels(dashboard)
        for target in panel["targets"]
    ]


def list_variable_queries(
    dashboard: Json, variables: Mapping[str, str | Sequence[str]] | None = None
) -> list[tuple[str, str, str]]:
    """Return name, series and label of each variable with a `label_values(series, label)`."""
    values = {**read_defaults(dashboard), **(variables or {})}
    listed = []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked, variable["query"]
            listed.append((variable["name"], fill(asked[1], values), asked[2]))
    return listed


def list_annotations(
    dashboard: Json, variables: Mapping[str, str | Sequence[str]] | None = None
) -> list[tuple[str, str]]:
    """Return name and query of every annotation."""
    values = {**read_defaults(dashboard), **(variables or {})}
    return [
        (each["name"], fill(each["target"]["expr"], values))
        for each in dashboard["annotations"]["list"]
    ]


def read_defaults(dashboard: Json) -> dict[str, str]:
    """Return the value of each variable before a user has chosen one."""
    return {
        each["name"]: each.get("allValue") or each["current"]["value"]
        for each in dashboard["templating"]["list"]
        if each["type"] != "datasource"
    }


def fill(text: str, values: Mapping[str, str | Sequence[str]]) -> str:
    """Replace the variables; several values become `(a|b)`. `$1` is not a variable."""

    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name.isdigit():
            return match[0]
        value = values[name]
        return value if isinstance(value, str) else f"({'|'.join(value)})"

    return VARIABLE.sub(replace, text)
