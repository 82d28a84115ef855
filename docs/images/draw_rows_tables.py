"""A table of a dashboard: the answers of its queries, merged and named as Grafana does it."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from docs.images.draw_rows_style import GRID, TEXT, Json, format_value, measure, pick_color

ROW_PIXELS = 25
SIZE = 8.5
HEAD = "#6e9fff"
Cells = dict[str, Any]


def draw_table(figure: SubFigure, panel: Json, answer: Any, top: float) -> None:
    overrides = {
        each["matcher"]["options"]: {p["id"]: p["value"] for p in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
    }
    rows = merge(panel, answer)
    names = [
        name
        for name in list_columns(panel)
        if any(row.get(name) not in (None, "") for row in rows)
        and not overrides.get(name, {}).get("custom.hidden")
    ]
    width, height = figure.bbox.width, figure.bbox.height
    columns = [
        [name, *(show(row.get(name), overrides.get(name, {})) for row in rows)] for name in names
    ]
    widths = fit(columns, width - 24)
    free = (width - 24 - sum(widths)) / len(widths)
    x = 12.0
    for column, needed in zip(columns, widths, strict=False):
        steps = overrides.get(column[0], {}).get("thresholds", {}).get("steps")
        for number, text in enumerate(column):
            y = top * height - 10 - ROW_PIXELS * number
            value = rows[number - 1].get(column[0]) if number else None
            color = pick_color(value, steps) if steps and isinstance(value, float) else TEXT
            cell = figure.text(x / width, y / height, text, fontsize=SIZE, va="center")
            cell.set_color(color if number else HEAD)
        x += needed + free
    draw_lines(figure, top, len(rows))


def fit(columns: list[list[str]], width: float) -> list[float]:
    """The widths of the first columns, as many as there is room for."""
    widths: list[float] = []
    for column in columns:
        needed = max(measure(text, SIZE) for text in column) + 14
        if sum(widths) + needed > width:
            break
        widths.append(needed)
    return widths


def measure_height(panel: Json, answer: Any) -> int:
    """How high the panel has to be for all of its rows."""
    return 66 + ROW_PIXELS * max(len(merge(panel, answer)), 1)


def draw_lines(figure: SubFigure, top: float, count: int) -> None:
    height = figure.bbox.height
    for number in range(count):
        y = top - (22 + ROW_PIXELS * number) / height
        if y > 0:
            figure.add_artist(Line2D([0.008, 0.992], [y, y], color=GRID, lw=0.8))


def merge(panel: Json, answer: Any) -> list[Cells]:
    """A row for all that has the same labels where both have them, named as on the dashboard."""
    options = find_options(panel)
    renamed, hidden = options["renameByName"], options["excludeByName"]
    merged: list[Cells] = []
    for target, found in zip(panel["targets"], answer.series, strict=True):
        column = renamed.get(f"Value #{target['refId']}", target["refId"])
        for series in found:
            labels = {
                renamed.get(name, name): value
                for name, value in series.labels.items()
                if not hidden.get(name)
            }
            fitting = (row for row in merged if fits(row, labels) and column not in row)
            row = next(fitting, None)
            if row is None:
                merged.append(row := {})
            row |= {**labels, column: series.values[-1]}
    [by] = panel["options"]["sortBy"] or [{"displayName": "", "desc": False}]
    name = by["displayName"]
    known = [row for row in merged if row.get(name) is not None]
    rest = [row for row in merged if row.get(name) is None]
    return sorted(known, key=lambda row: row[name], reverse=by["desc"]) + rest


def fits(row: Cells, labels: Json) -> bool:
    return all(row.get(name, value) == value for name, value in labels.items())


def list_columns(panel: Json) -> list[str]:
    options = find_options(panel)
    order = sorted(options["indexByName"], key=options["indexByName"].__getitem__)
    hidden = options["excludeByName"]
    return list(
        dict.fromkeys(options["renameByName"].get(n, n) for n in order if not hidden.get(n))
    )


def find_options(panel: Json) -> Json:
    [found] = [each["options"] for each in panel["transformations"] if each["id"] == "organize"]
    options: Json = found
    return options


def show(value: Any, override: Json) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        unit = override.get("unit", "short")
        for mapping in override.get("mappings") or []:
            named = mapping["options"].get(f"{value:g}") if mapping["type"] == "value" else None
            if named:
                return str(named["text"])
        return format_value(value, unit)
    return str(value)
