"""The legend below a graph, which counts the series it has no room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from grafana.pictures.answers import Series
from grafana.pictures.sheets import Sheet
from grafana.pictures.style import SMALL, TEXT, measure

LINES = 6
LINE_PIXELS = 15
HANDLE_PIXELS = 34


@dataclass(frozen=True, slots=True)
class Legend:
    """The names that fit, the number of those left out, and the columns."""

    names: Sequence[str]
    more: int
    columns: int

    @property
    def height(self) -> int:
        """The height in pixels."""
        entries = len(self.names) + bool(self.more)
        return LINE_PIXELS * -(-entries // self.columns)


def plan_legend(sheet: Sheet, series: Sequence[Series], always: Set[str]) -> Legend:
    """Choose the names that fit: first those in `always`, then the highest series."""
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
    """Draw the legend; `found` maps names to the artists they are drawn with."""
    names = [name for name in legend.names if name]
    handles = [found[name] for name in names]
    if legend.more:
        names.append(f"+{legend.more} more")
        handles.append(Line2D([], [], lw=0))
    if names:
        place_legend(sheet, handles, names, legend.columns)


def place_legend(sheet: Sheet, handles: Sequence[Any], names: Sequence[str], columns: int) -> None:
    """Put a legend into the lower left corner of the sheet."""
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
