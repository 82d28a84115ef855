"""The legend below a graph: which series are named, and how many are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from docs.images.drawing.answers import Series
from docs.images.drawing.sheets import Sheet
from docs.images.drawing.style import SMALL, TEXT, measure

LINES = 6
LINE_PIXELS = 15
HANDLE_PIXELS = 34


@dataclass(frozen=True, slots=True)
class Legend:
    names: Sequence[str]
    more: int
    columns: int

    @property
    def height(self) -> int:
        """In pixels."""
        entries = len(self.names) + bool(self.more)
        return LINE_PIXELS * -(-entries // self.columns)


def plan_legend(sheet: Sheet, series: Sequence[Series], always: Set[str]) -> Legend:
    """Where not all have room: those to be named `always`, then the highest."""
    names = list(dict.fromkeys(each.name for each in series))
    longest = max((measure(name, SMALL) for name in names), default=1)
    columns = max(1, min(len(names), int(sheet.width / (longest + HANDLE_PIXELS))))
    room = LINES * columns
    if len(names) <= room:
        return Legend(names, 0, columns)
    peaks = {each.name: float(np.nanmax(each.values)) for each in series}
    ranked = sorted(names, key=lambda name: (name in always, peaks[name]), reverse=True)
    kept = set(ranked[: room - 1])
    return Legend([name for name in names if name in kept], len(names) - len(kept), columns)


def draw_legend(sheet: Sheet, legend: Legend, found: Mapping[str, Any]) -> None:
    """`found` has what each name is drawn with."""
    names = [name for name in legend.names if name]
    handles = [found[name] for name in names]
    if legend.more:
        names.append(f"+{legend.more} more")
        handles.append(Line2D([], [], lw=0))
    if names:
        place_legend(sheet, handles, names, legend.columns)


def place_legend(sheet: Sheet, handles: Sequence[Any], names: Sequence[str], columns: int) -> None:
    """In the lower left corner of the sheet."""
    sheet.figure.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(6 / sheet.width, 2 / sheet.height),
        ncols=columns,
        frameon=False,
        labelcolor=TEXT,
        fontsize=SMALL,
        handlelength=1.2,
        handletextpad=0.5,
        borderaxespad=0,
        columnspacing=1.2,
        labelspacing=0.25,
    )
