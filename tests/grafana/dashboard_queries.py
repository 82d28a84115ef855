"""The queries of a dashboard's file as Grafana sends them: with the variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# What Grafana fills in for an hour on a wide screen and a scrape each 15 s.
INTERVALS = {"__rate_interval": "1m", "__range": "1h"}

Json = dict[str, Any]


class PanelQuery(NamedTuple):
    title: str
    expr: str
    row: str


def load_dashboard(name: str) -> Json:
    """The dashboard of a file like overview.json."""
    loaded: Json = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def list_variables(dashboard: Json) -> set[str]:
    return {each["name"] for each in dashboard["templating"]["list"]}


def list_panels(dashboard: Json) -> Iterator[tuple[str, Json]]:
    """Each panel with the title of its row, without the rows themselves."""
    row = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            yield row, panel


def list_queries(
    dashboard: Json, variables: Mapping[str, str | Sequence[str]] | None = None
) -> list[PanelQuery]:
    """Every query of every panel; a variable that is not given has its default: mostly All."""
    values = {**read_defaults(dashboard), **INTERVALS, **(variables or {})}
    return [
        PanelQuery(panel["title"], fill(target["expr"], values), row)
        for row, panel in list_panels(dashboard)
        for target in panel["targets"]
    ]


def list_variable_queries(
    dashboard: Json, variables: Mapping[str, str | Sequence[str]] | None = None
) -> list[tuple[str, str, str]]:
    """Name, series and label of every `label_values(series, label)` of the variables."""
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
    """Name and query of every annotation."""
    values = {**read_defaults(dashboard), **(variables or {})}
    return [
        (each["name"], fill(each["target"]["expr"], values))
        for each in dashboard["annotations"]["list"]
    ]


def read_defaults(dashboard: Json) -> dict[str, str]:
    """What each variable stands for before anybody chose something."""
    return {
        each["name"]: each.get("allValue") or each["current"]["value"]
        for each in dashboard["templating"]["list"]
        if each["type"] != "datasource"
    }


def fill(text: str, values: Mapping[str, str | Sequence[str]]) -> str:
    """Puts in the variables; several values become `(a|b)`, and `$1` is no variable."""

    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name.isdigit():
            return match[0]
        value = values[name]
        return value if isinstance(value, str) else f"({'|'.join(value)})"

    return VARIABLE.sub(replace, text)
