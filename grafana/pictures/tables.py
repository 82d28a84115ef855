"""Tables: the answers of their queries, merged into rows, with units and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from grafana.pictures.answers import Answer, Json
from grafana.pictures.sheets import Sheet
from grafana.pictures.style import FAINT, GRID, TEXT, find_state, measure, pick_color
from grafana.pictures.units import format_value

ROW_PIXELS = 25
# The largest at which all columns fit is taken.
SIZES = (8.5, 8.0, 7.5)
PADDING, MARGIN = 10, 12
HEAD = "#6e9fff"
Overrides = Mapping[str, Json]
Cell = float | str | None
Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Column:
    """Texts and colours of the head and the cells."""

    cells: Sequence[tuple[str, str]]

    def measure(self, size: float) -> float:
        """Return the width in pixels."""
        return max(measure(text, size) for text, _ in self.cells) + PADDING


def draw_table(sheet: Sheet) -> None:
    """Draw the columns that fit, spread over the width."""
    overrides = read_overrides(sheet.panel)
    rows = merge(sheet.panel, sheet.answer)
    columns = [
        build_column(name, rows, overrides.get(name, {}), sheet.answer)
        for name in list_columns(sheet.panel, rows)
        if not overrides.get(name, {}).get("custom.hidden")
    ]
    room = sheet.width - 2 * MARGIN
    shown, size = fit(columns, room)
    free = (room - sum(each.measure(size) for each in shown)) / len(shown)
    x = float(MARGIN)
    for column in shown:
        draw_column(sheet, column, x, size)
        x += column.measure(size) + free
    draw_lines(sheet, len(rows))


def measure_height(panel: Json, answer: Answer) -> int:
    """Return the height in pixels that shows all rows."""
    return 66 + ROW_PIXELS * max(len(merge(panel, answer)), 1)


def read_overrides(panel: Json) -> Overrides:
    """Return the options of single columns, by their name."""
    return {
        each["matcher"]["options"]: {p["id"]: p["value"] for p in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
    }


def build_column(name: str, rows: Sequence[Row], override: Json, answer: Answer) -> Column:
    """Return the column of that name."""
    now = answer.started + answer.moment
    return Column([(name, HEAD), *(show(row.get(name), override, now) for row in rows)])


def show(value: Cell, override: Json, now: float) -> tuple[str, str]:
    """Return the text of a cell and its colour."""
    if not isinstance(value, float):
        return value or "-", TEXT
    state = find_state(value, override.get("mappings") or [])
    text = state[0] if state else format_value(value, override.get("unit", "short"), now)
    if override.get("custom.cellOptions", {}).get("type") != "color-text":
        return text, TEXT
    return text, state[1] if state else pick_color(value, list_steps(override))


def list_steps(override: Json) -> Sequence[Json]:
    """Return the thresholds of a column."""
    steps: Sequence[Json] = override.get("thresholds", {}).get("steps", [])
    return steps


def fit(columns: Sequence[Column], room: float) -> tuple[Sequence[Column], float]:
    """Return the columns that fit and the font size; the last one counts those left out."""
    for size in SIZES:
        if sum(column.measure(size) for column in columns) <= room:
            return columns, size
    shown = columns
    for count in range(len(columns) - 1, 0, -1):
        more = Column([(f"+{len(columns) - count} more", FAINT)])
        shown = [*columns[:count], more]
        if sum(column.measure(size) for column in shown) <= room:
            break
    return shown, size


def draw_column(sheet: Sheet, column: Column, x: float, size: float) -> None:
    """Write the cells of a column below each other."""
    for number, (text, color) in enumerate(column.cells):
        y = sheet.top * sheet.height - 10 - ROW_PIXELS * number
        sheet.write(x, y, text, fontsize=size, va="center", color=color)


def draw_lines(sheet: Sheet, count: int) -> None:
    """Draw the lines between so many rows."""
    for number in range(count):
        y = sheet.top - (22 + ROW_PIXELS * number) / sheet.height
        if y > 0:
            sheet.figure.add_artist(Line2D([0.008, 0.992], [y, y], color=GRID, lw=0.8))


def merge(panel: Json, answer: Answer) -> list[Row]:
    """Return the rows in the panel's order; series whose common labels agree share one."""
    options = find_options(panel)
    merged: list[Row] = []
    for target, found in zip(panel["targets"], answer.series, strict=True):
        column = options["renameByName"].get(f"Value #{target['refId']}", target["refId"])
        for series in found:
            labels = name_labels(series.labels, options)
            fitting = (row for row in merged if fits(row, labels) and column not in row)
            row = next(fitting, None)
            if row is None:
                merged.append(row := {})
            row |= {**labels, column: series.values[-1]}
    return sort(merged, panel["options"]["sortBy"])


def name_labels(labels: Json, options: Json) -> dict[str, str]:
    """Return the labels that are shown, under the names of their columns."""
    renamed, hidden = options["renameByName"], options["excludeByName"]
    return {renamed.get(name, name): text for name, text in labels.items() if not hidden.get(name)}


def fits(row: Row, labels: Json) -> bool:
    """Return whether the labels agree with those of the row."""
    return all(row.get(name, value) == value for name, value in labels.items())


def sort(rows: list[Row], by: Sequence[Json]) -> list[Row]:
    """Return the rows in order; those without a value in that column come last."""
    if not by:
        return rows
    name = by[0]["displayName"]
    filled = [row for row in rows if row.get(name) is not None]
    rest = [row for row in rows if row.get(name) is None]
    return sorted(filled, key=lambda row: row[name], reverse=by[0]["desc"]) + rest  # type: ignore[arg-type,return-value]


def list_columns(panel: Json, rows: Sequence[Row]) -> list[str]:
    """Return the names of the columns with a value, in the panel's order."""
    options = find_options(panel)
    order = sorted(options["indexByName"], key=options["indexByName"].__getitem__)
    names = dict.fromkeys(options["renameByName"].get(name, name) for name in order)
    return [name for name in names if any(row.get(name) not in (None, "") for row in rows)]


def find_options(panel: Json) -> Json:
    """Return the options that name, order and hide columns."""
    [found] = [each["options"] for each in panel["transformations"] if each["id"] == "organize"]
    options: Json = found
    return options
