"""A table of a dashboard, drawn: its cells with their units and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from docs.images.drawing.answers import Answer, Json
from docs.images.drawing.cells import Cell, Row, list_columns, merge
from docs.images.drawing.sheets import Sheet
from docs.images.drawing.style import FAINT, GRID, TEXT, find_state, measure, pick_color
from docs.images.drawing.units import format_value

ROW_PIXELS = 25
# The first with which all columns have room.
SIZES = (8.5, 8.0, 7.5)
PADDING, MARGIN = 10, 12
HEAD = "#6e9fff"
Overrides = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Column:
    """Its head and its cells, each a text and a colour."""

    cells: Sequence[tuple[str, str]]

    def measure(self, size: float) -> float:
        return max(measure(text, size) for text, _ in self.cells) + PADDING


def draw_table(sheet: Sheet) -> None:
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
    """How high the panel has to be for all of its rows, in pixels."""
    return 66 + ROW_PIXELS * max(len(merge(panel, answer)), 1)


def read_overrides(panel: Json) -> Overrides:
    return {
        each["matcher"]["options"]: {p["id"]: p["value"] for p in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
    }


def build_column(name: str, rows: Sequence[Row], override: Json, answer: Answer) -> Column:
    now = answer.started + answer.moment
    return Column([(name, HEAD), *(show(row.get(name), override, now) for row in rows)])


def show(value: Cell, override: Json, now: float) -> tuple[str, str]:
    """The text of a cell and its colour."""
    if not isinstance(value, float):
        return value or "-", TEXT
    state = find_state(value, override.get("mappings") or [])
    text = state[0] if state else format_value(value, override.get("unit", "short"), now)
    if override.get("custom.cellOptions", {}).get("type") != "color-text":
        return text, TEXT
    return text, state[1] if state else pick_color(value, list_steps(override))


def list_steps(override: Json) -> Sequence[Json]:
    steps: Sequence[Json] = override.get("thresholds", {}).get("steps", [])
    return steps


def fit(columns: Sequence[Column], room: float) -> tuple[Sequence[Column], float]:
    """The columns that have room and the size of their letters; the last says how many are left."""
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
    for number, (text, color) in enumerate(column.cells):
        y = sheet.top * sheet.height - 10 - ROW_PIXELS * number
        sheet.write(x, y, text, fontsize=size, va="center", color=color)


def draw_lines(sheet: Sheet, count: int) -> None:
    for number in range(count):
        y = sheet.top - (22 + ROW_PIXELS * number) / sheet.height
        if y > 0:
            sheet.figure.add_artist(Line2D([0.008, 0.992], [y, y], color=GRID, lw=0.8))
