"""A panel of a dashboard: its title, and the drawing of its type."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from matplotlib.figure import SubFigure

from grafana.pictures.answers import Answer, Json
from grafana.pictures.graphs import draw_graph
from grafana.pictures.heatmaps import draw_heatmap
from grafana.pictures.sheets import Sheet
from grafana.pictures.style import PANEL, TEXT
from grafana.pictures.tables import draw_table
from grafana.pictures.tiles import WHITE, draw_tile, find_background
from grafana.pictures.timelines import draw_timeline

TITLE_SIZE, LINE_PIXELS = 9.5, 17
DRAW: dict[str, Callable[[Sheet], None]] = {
    "stat": draw_tile,
    "timeseries": draw_graph,
    "state-timeline": draw_timeline,
    "heatmap": draw_heatmap,
    "table": draw_table,
}


def draw_panel(figure: SubFigure, panel: Json, answer: Answer, mark: str) -> None:
    """Draw a panel; a `mark` that is not empty labels the answer's moment in graphs."""
    width, height = figure.bbox.width, figure.bbox.height
    lines = textwrap.wrap(panel["title"], max(int(width / 8), 12))
    space = 6 if mark and panel["type"] != "stat" else 0
    top = 1 - (14 + space + LINE_PIXELS * len(lines)) / height
    sheet = Sheet(figure, panel, answer, top, mark)
    tile = panel["type"] == "stat"
    figure.set_facecolor(find_background(sheet) if tile else PANEL)
    title = {"va": "top", "fontsize": TITLE_SIZE, "color": WHITE if tile else TEXT}
    sheet.write(10, height - 8, "\n".join(lines), linespacing=1.25, **title)
    if any(answer.series):
        DRAW[panel["type"]](sheet)
    else:
        draw_nothing(sheet)


def draw_nothing(sheet: Sheet) -> None:
    """Write the panel's text for an empty answer."""
    text = textwrap.fill(sheet.defaults["noValue"], max(int(sheet.width / 8), 12))
    color = WHITE if sheet.panel["type"] == "stat" else TEXT
    look = {"ha": "center", "va": "center", "color": color}
    sheet.write(sheet.width / 2, sheet.top * sheet.height / 2, text, **look)
