"""A picture: panels at their places, saved as a file."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec
from PIL import Image

from grafana.pictures.answers import Answer, Json
from grafana.pictures.panels import draw_panel
from grafana.pictures.style import BACKGROUND, DPI
from grafana.pictures.units import format_clock

WIDTH, GAP = 1200, 6
# The left end and the width in shares, the upper end and the height in pixels.
Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Picture:
    """A picture in the making; `parts` are panels, their answers and their boxes."""

    parts: list[tuple[Json, Answer, Box]] = field(default_factory=list)

    def put(self, panel: Json, answer: Answer, box: Box) -> None:
        """Add a panel."""
        self.parts.append((panel, answer, box))

    def draw(self) -> Figure:
        """Return all panels as one figure."""
        height = max(top + height for _, _, (_, top, _, height) in self.parts)
        size = (WIDTH / DPI, (height + GAP) / DPI)
        figure = Figure(figsize=size, dpi=DPI, facecolor=BACKGROUND)
        for panel, answer, box in self.parts:
            draw_panel(add_part(figure, box), panel, answer, self._name_moment(answer))
        return figure

    def save(self, path: Path) -> None:
        """Write a PNG file."""
        self.draw().savefig(path)
        # No palette: legends need every colour. This strategy makes the smallest file.
        with Image.open(path) as picture:
            smaller: Json = {"compress_level": 9, "compress_type": zlib.Z_DEFAULT_STRATEGY}
            picture.convert("RGB").save(path, **smaller)

    def _name_moment(self, answer: Answer) -> str:
        """Return a label for the moment of instant numbers, if the picture has any."""
        what = name_numbers({panel["type"] for panel, _, _ in self.parts})
        return f"{what}: {format_clock(answer.moment)}" if what else ""


def name_numbers(types: Collection[str]) -> str:
    """Return what shows instant numbers among the types of panels; empty if nothing does."""
    return "tiles" if "stat" in types else "table" if "table" in types else ""


def add_part(figure: Figure, box: Box) -> SubFigure:
    """Return a figure inside the figure; matplotlib has no public way to place one freely."""
    left, top, width, height = box
    total = figure.bbox.height
    start = (left + GAP / 2 / WIDTH, 1 - (top + height) / total)
    end = (left + width - GAP / 2 / WIDTH, 1 - (top + GAP) / total)
    grid = GridSpec(1, 1, left=start[0], right=end[0], bottom=start[1], top=end[1])
    part: Any = SubFigure(figure, grid[0])
    figure.subfigs.append(part)
    figure.stale = True
    part.bbox_relative.p0, part.bbox_relative.p1 = start, end
    found: SubFigure = part
    return found
