"""The sheet that a panel is drawn on, and the axes of graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from grafana.pictures.answers import Answer, Json
from grafana.pictures.style import FAINT, GRID, PANEL, SMALL, TEXT

RIGHT = 14
# The width of a minute that has room for its label.
MINUTE_PIXELS = 45


@dataclass(frozen=True, slots=True)
class Sheet:
    """A panel's place in the picture.

    Attributes:
        top: Where the title ends, as a share of the height.
        mark: A label for the answer's moment; empty for none.
    """

    figure: SubFigure
    panel: Json
    answer: Answer
    top: float
    mark: str

    @property
    def width(self) -> float:
        """The width in pixels."""
        return float(self.figure.bbox.width)

    @property
    def height(self) -> float:
        """The height in pixels."""
        return float(self.figure.bbox.height)

    @property
    def defaults(self) -> Json:
        """The options of the panel's fields."""
        found: Json = self.panel["fieldConfig"]["defaults"]
        return found

    @property
    def unit(self) -> str:
        """Grafana's name of the unit."""
        return str(self.defaults.get("unit", "short"))

    def write(self, x: float, y: float, text: str, **look: Any) -> None:
        """Write a text at pixels from the left and from below."""
        self.figure.text(x / self.width, y / self.height, text, **{"color": TEXT, **look})

    def add_axes(self, below: float, left: float = 50) -> Axes:
        """Add axes over the time of the story; `below` and `left` are pixels that stay free."""
        bottom = below / self.height
        shares = (1 - (left + RIGHT) / self.width, self.top - bottom)
        axes = self.figure.add_axes((left / self.width, bottom, *shares))
        axes.set_facecolor(PANEL)
        axes.tick_params(colors=FAINT, labelsize=SMALL, length=0)
        axes.tick_params(axis="x", pad=8)
        axes.grid(color=GRID, lw=0.7)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        self._scale_time(axes)
        return axes

    def _scale_time(self, axes: Axes) -> None:
        minutes = int(self.answer.seconds // 60)
        room = axes.bbox.width / minutes
        shown = range(0, minutes + 1, 1 if room > MINUTE_PIXELS else minutes)
        axes.set_xlim(0, self.answer.seconds)
        axes.set_xticks([60 * each for each in shown], [f"{each} min" for each in shown])
        # Centred, the first and the last would stick out.
        for number, side in ((0, "left"), (-1, "right")):
            axes.get_xticklabels()[number].set(horizontalalignment=side)
        if self.mark:
            self._mark_moment(axes)

    def _mark_moment(self, axes: Axes) -> None:
        moment = self.answer.moment
        axes.axvline(moment, color=TEXT, lw=0.9, ls=(0, (1, 2)), zorder=4)
        look: Json = {"fontsize": 7, "color": TEXT, "va": "bottom", "ha": "center"}
        axes.text(moment, 1.0, self.mark, transform=axes.get_xaxis_transform(), **look)
