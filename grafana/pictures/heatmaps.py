"""Heatmaps of a histogram's buckets, with a colour scale."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from grafana.pictures.answers import Json, Series
from grafana.pictures.sheets import Sheet
from grafana.pictures.style import FAINT, PANEL, SMALL
from grafana.pictures.units import format_value

# Grafana's Oranges: dark is little. Empty cells have the background's colour.
COLORS = mpl.colormaps["Oranges_r"].with_extremes(bad=PANEL)
SCALE_PIXELS = 34
SCALE_WIDTH, SCALE_HEIGHT = 160, 8


def draw_heatmap(sheet: Sheet) -> None:
    """Draw a heatmap and its scale."""
    ranked = sorted(sheet.answer.all, key=lambda each: float(each.labels["le"]))
    times = sorted({time for each in ranked for time in each.times})
    own = count_own(ranked, times)
    last = max((row for row in range(len(own)) if own[row].count()), default=0) + 1
    axes = sheet.add_axes(below=34 + SCALE_PIXELS, left=70)
    axes.grid(visible=False)
    norm = Normalize(0, float(own.max()))
    look: Json = {"cmap": COLORS, "norm": norm, "shading": "nearest"}
    axes.pcolormesh(times, np.arange(last), own[:last], **look)
    names = [format_value(float(e.labels["le"]), "s").replace("inf", "∞") for e in ranked[:last]]
    axes.set_yticks(np.arange(last), [f"≤ {name}" for name in names])
    draw_scale(sheet, norm)


def count_own(ranked: list[Series], times: list[float]) -> np.ma.MaskedArray[tuple[int, int]]:
    """Return each bucket's own counts; Prometheus' buckets are cumulative."""
    found = [dict(each.points) for each in ranked]
    total = np.nan_to_num([[each.get(time, 0.0) for time in times] for each in found])
    own = np.diff(total, axis=0, prepend=0)
    return np.ma.masked_less_equal(own, 1e-9)


def draw_scale(sheet: Sheet, norm: Normalize) -> None:
    """Draw the colour scale into the lower left corner."""
    place = (12 / sheet.width, 20 / sheet.height)
    size = (SCALE_WIDTH / sheet.width, SCALE_HEIGHT / sheet.height)
    axes: Axes = sheet.figure.add_axes((*place, *size))
    bar = sheet.figure.colorbar(
        ScalarMappable(norm, COLORS), cax=axes, orientation="horizontal", drawedges=False
    )
    bar.outline.set_visible(False)
    ticks = [0.0, norm.vmax or 0.0]
    bar.set_ticks(ticks, labels=[format_value(each, sheet.unit) for each in ticks])
    for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=True):
        label.set(horizontalalignment=side)
    axes.tick_params(colors=FAINT, labelsize=SMALL, length=0, pad=3)
