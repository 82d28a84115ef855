"""Tiles with one or a few numbers, on the colour of their threshold."""

from __future__ import annotations

from matplotlib.colors import to_rgb

from grafana.pictures.answers import Series
from grafana.pictures.sheets import Sheet
from grafana.pictures.style import pick_color
from grafana.pictures.units import format_value

WHITE = "#ffffff"
# White text stays readable on it.
SHADE = 0.72
LIMIT = 3


def find_background(sheet: Sheet) -> tuple[float, float, float]:
    """Return the colour of the highest number, or of the lowest threshold if there is none."""
    highest = max((each.values[-1] for each in sheet.answer.all), default=float("-inf"))
    color = pick_color(highest, sheet.defaults["thresholds"]["steps"])
    red, green, blue = to_rgb(color)
    return SHADE * red, SHADE * green, SHADE * blue


def draw_tile(sheet: Sheet) -> None:
    """Write the numbers below each other; the last line counts those left out."""
    shown = sheet.answer.all[:LIMIT]
    more = len(sheet.answer.all) - len(shown)
    texts = [format_number(sheet, series) for series in shown]
    texts += [f"+{more} more"] if more else []
    for position, text in enumerate(texts):
        y = sheet.top * sheet.height * (1 - (position + 0.5) / len(texts))
        size = 26 if len(texts) == 1 and not shown[0].name else 13
        look = {"ha": "center", "va": "center", "fontsize": size, "color": WHITE}
        sheet.write(sheet.width / 2, y, text, **look)


def format_number(sheet: Sheet, series: Series) -> str:
    """Return the last number of a series, with its name if it has one."""
    number = format_value(series.values[-1], sheet.unit)
    return f"{series.name}  {number}" if series.name else number
