"""Graphs over time: lines, stacked areas and bars, dashed limits and thresholds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from grafana.pictures.answers import Json, Series, split_times
from grafana.pictures.legends import draw_legend, plan_legend
from grafana.pictures.sheets import Sheet
from grafana.pictures.style import find_color, list_colors
from grafana.pictures.units import format_value

DASHED, DOTTED = (0, (6, 4)), (0, (3, 4))
# Lower thresholds only tell any value from zero; no line is drawn for them.
VISIBLE = 1e-6


def draw_graph(sheet: Sheet) -> None:
    """Draw a graph and its legend."""
    series = [each for each in sheet.answer.all if any(map(math.isfinite, each.values))]
    limits = {
        each.name: color for each in series if (color := find_limit_color(sheet.panel, each.name))
    }
    lines = [each for each in series if each.name not in limits]
    legend = plan_legend(sheet, series, limits.keys())
    axes = sheet.add_axes(below=38 + legend.height)
    draw_values(axes, sheet, lines)
    for each in series:
        if each.name in limits:
            draw_line(axes, each, limits[each.name], DASHED)
    scale(axes, sheet, series)
    handles, names = axes.get_legend_handles_labels()
    draw_legend(sheet, legend, dict(zip(reversed(names), reversed(handles), strict=True)))


def draw_values(axes: Axes, sheet: Sheet, lines: Sequence[Series]) -> None:
    """Draw the series, stacked if the panel stacks them."""
    custom = sheet.defaults["custom"]
    if custom.get("stacking", {}).get("mode") == "normal" and lines:
        draw_stack(axes, lines, bars=custom["drawStyle"] == "bars")
        return
    for each, color in zip(lines, list_colors(len(lines)), strict=True):
        draw_line(axes, each, color)


def find_limit_color(panel: Json, name: str) -> str:
    """Return the colour of a series that is a limit; empty for others."""
    for override in panel["fieldConfig"]["overrides"]:
        pattern = override["matcher"]["options"]
        if override["matcher"]["id"] == "byRegexp" and re.match(pattern.strip("/"), name):
            for each in override["properties"]:
                if each["id"] == "color":
                    return find_color(each["value"]["fixedColor"])
    return ""


def draw_line(
    axes: Axes, series: Series, color: str, style: str | tuple[int, tuple[int, int]] = "-"
) -> None:
    """Draw a line with its gaps."""
    label = series.name
    for piece in series.list_pieces():
        times, values = zip(*piece, strict=True)
        axes.plot(times, values, color=color, lw=1.4, ls=style, label=label)
        label = "_"


def draw_stack(axes: Axes, lines: Sequence[Series], bars: bool) -> None:
    """Draw stacked areas; a gap is where all series have one."""
    found = [dict(each.points) for each in lines]
    names, colors = [each.name for each in lines], list_colors(len(lines))
    for times in split_times(sorted({time for each in lines for time in each.times})):
        values = np.nan_to_num([[each.get(time, 0.0) for time in times] for each in found])
        look: Json = {"colors": colors, "labels": names, "alpha": 0.45, "lw": 0}
        axes.stackplot(times, values, step="mid" if bars else None, **look)
        if not bars:
            for top, color in zip(np.cumsum(values, axis=0), colors, strict=True):
                axes.plot(times, top, color=color, lw=1.2)
        names = ["_"] * len(names)


def scale(axes: Axes, sheet: Sheet, series: Sequence[Series]) -> None:
    """Set the vertical axis."""
    highest = max((v for each in series for v in each.values if math.isfinite(v)), default=0)
    _, top = axes.get_ylim()
    axes.set_ylim(0, max(top, highest * 1.08) or 1)
    draw_thresholds(axes, sheet)
    unit = sheet.unit
    whole = unit == "short" and axes.get_ylim()[1] >= 4
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, unit)))


def draw_thresholds(axes: Axes, sheet: Sheet) -> None:
    """Draw the thresholds that the values come near."""
    for step in (sheet.defaults.get("thresholds") or {}).get("steps", []):
        threshold, top = step["value"], axes.get_ylim()[1]
        if threshold is not None and VISIBLE < threshold < top * 1.3:
            color = find_color(step["color"])
            axes.axhline(threshold, color=color, lw=1, ls=DOTTED, alpha=0.9)
            axes.set_ylim(0, max(top, threshold * 1.08))
