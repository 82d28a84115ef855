"""One panel of a dashboard: its title, and what is drawn for its type."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from matplotlib.figure import SubFigure

from docs.images.drawing.answers import Answer, Json
from docs.images.drawing.graphs import draw_graph
from docs.images.drawing.heatmaps import draw_heatmap
from docs.images.drawing.sheets import Sheet
from docs.images.drawing.style import PANEL, TEXT
from docs.images.drawing.tables import draw_table
from docs.images.drawing.tiles import WHITE, draw_tile, find_background
from docs.images.drawing.timelines import draw_timeline

TITLE_SIZE, LINE_PIXELS = 9.5, 17
DRAW: dict[str, Callable[[Sheet], None]] = {
    "stat": draw_tile,
    "timeseries": draw_graph,
    "state-timeline": draw_timeline,
    "heatmap": draw_heatmap,
    "table": draw_table,
}


def draw_panel(figure: SubFigure, panel: Json, answer: Answer, mark: str) -> None:
    """`mark` is written into graphs at the answer's moment; empty, nothing is."""
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
    """What the panel says where there is no answer."""
    text = textwrap.fill(sheet.defaults["noValue"], max(int(sheet.width / 8), 12))
    color = WHITE if sheet.panel["type"] == "stat" else TEXT
    look = {"ha": "center", "va": "center", "color": color}
    sheet.write(sheet.width / 2, sheet.top * sheet.height / 2, text, **look)
