"""A picture: panels at their places, and the file that it becomes."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec
from PIL import Image

from docs.images.drawing.answers import Answer, Json
from docs.images.drawing.panels import draw_panel
from docs.images.drawing.style import BACKGROUND, DPI
from docs.images.drawing.units import format_clock

WIDTH, GAP = 1200, 6
# The left end and the width in shares, the upper end and the height in pixels.
Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Picture:
    """`parts` are panels, what they show, and where."""

    parts: list[tuple[Json, Answer, Box]] = field(default_factory=list)

    def put(self, panel: Json, answer: Answer, box: Box) -> None:
        self.parts.append((panel, answer, box))

    def draw(self) -> Figure:
        height = max(top + height for _, _, (_, top, _, height) in self.parts)
        size = (WIDTH / DPI, (height + GAP) / DPI)
        figure = Figure(figsize=size, dpi=DPI, facecolor=BACKGROUND)
        for panel, answer, box in self.parts:
            draw_panel(add_part(figure, box), panel, answer, self._name_moment(answer))
        return figure

    def save(self, path: Path) -> None:
        self.draw().savefig(path)
        # All colours as they are: the legends are read by them. This strategy makes it smallest.
        with Image.open(path) as picture:
            smaller: Json = {"compress_level": 9, "compress_type": zlib.Z_DEFAULT_STRATEGY}
            picture.convert("RGB").save(path, **smaller)

    def _name_moment(self, answer: Answer) -> str:
        """Where numbers of one moment stand beside graphs; else empty."""
        what = name_numbers({panel["type"] for panel, _, _ in self.parts})
        return f"{what}: {format_clock(answer.moment)}" if what else ""


def name_numbers(types: Collection[str]) -> str:
    return "tiles" if "stat" in types else "table" if "table" in types else ""


def add_part(figure: Figure, box: Box) -> SubFigure:
    """A figure in a figure at a place of one's own choice."""
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
