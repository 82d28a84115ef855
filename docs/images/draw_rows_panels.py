"""One panel of a dashboard, drawn from what Prometheus has for it."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import SubFigure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from docs.images.draw_rows_style import (
    BACKGROUND,
    FAINT,
    GRID,
    HEAT,
    NAMED,
    PALETTE,
    PANEL,
    TEXT,
    Json,
    format_value,
    pick_color,
)
from docs.images.draw_rows_tables import draw_table

LEGEND_LIMIT = 6
GAP_SECONDS = 4
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    labels: Json
    points: Points

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.points]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points]


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus has for each query of a panel, in their order; times in seconds from 0."""

    series: Sequence[Sequence[Series]]
    seconds: float

    @property
    def all(self) -> list[Series]:
        return [series for each in self.series for series in each]


def draw_panel(figure: SubFigure, panel: Json, answer: Answer) -> None:
    figure.set_facecolor(PANEL)
    width, height = figure.bbox.width, figure.bbox.height
    lines = textwrap.wrap(panel["title"], max(int(width / 8), 12))
    title = figure.text(10 / width, 1 - 8 / height, "\n".join(lines), va="top", fontsize=9.5)
    title.set(color=TEXT, linespacing=1.25)
    top = 1 - (14 + 17 * len(lines)) / height
    if not any(answer.series):
        figure.text(0.5, top / 2, panel["fieldConfig"]["defaults"]["noValue"], ha="center")
        return
    DRAW[panel["type"]](figure, panel, answer, top)


def draw_stat(figure: SubFigure, panel: Json, answer: Answer, top: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    shown = answer.all[:2]
    for position, series in enumerate(shown):
        value = series.values[-1]
        color = pick_color(value, defaults["thresholds"]["steps"])
        text = f"{series.name}  " if series.name else ""
        text += format_value(value, defaults["unit"])
        height = top * (1 - (position + 0.5) / len(shown))
        size = 26 if not series.name else 15
        figure.text(0.5, height, text, ha="center", va="center", fontsize=size, color=color)


def draw_time_series(figure: SubFigure, panel: Json, answer: Answer, top: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    series = [each for each in answer.all if any(map(math.isfinite, each.values))]
    rows = math.ceil(min(len(series), LEGEND_LIMIT) / count_legend_columns(figure, series))
    axes = add_axes(figure, top, below=38 + 15 * rows)
    limits = [each for each in series if find_override(panel, each.name)]
    lines = [each for each in series if each not in limits]
    if custom.get("stacking", {}).get("mode") == "normal" and lines:
        draw_stack(axes, lines, bars=custom["drawStyle"] == "bars")
    else:
        for number, each in enumerate(lines):
            times, values = break_gaps(each.points)
            axes.plot(times, values, color=PALETTE[number % 12], lw=1.3, label=each.name)
    for each in limits:
        color = NAMED.get(find_override(panel, each.name), NAMED["red"])
        axes.plot(each.times, each.values, color=color, lw=1.5, ls=(0, (6, 4)), label=each.name)
    scale(axes, panel, series, answer.seconds)
    draw_legend(figure, axes, series)


def draw_stack(axes: Axes, lines: Sequence[Series], bars: bool) -> None:
    known = sorted({time for each in lines for time in each.times})
    times = break_gaps([(time, 0.0) for time in known])[0]
    found = [dict(each.points) for each in lines]
    values = np.nan_to_num([[each.get(time, 0.0) for time in times] for each in found])
    colors = [PALETTE[number % 12] for number in range(len(lines))]
    names = [each.name for each in lines]
    step = "mid" if bars else None
    axes.stackplot(times, values, colors=colors, labels=names, alpha=0.45, step=step, lw=0)
    if not bars:
        for top, color in zip(np.cumsum(values, axis=0), colors, strict=True):
            axes.plot(times, top, color=color, lw=1.2)


def break_gaps(points: Points) -> tuple[list[float], list[float]]:
    """Times and values, with nothing where there was nothing for some seconds."""
    times: list[float] = []
    values: list[float] = []
    for time, value in points:
        if times and time - times[-1] > GAP_SECONDS:
            times.append(times[-1] + 1)
            values.append(math.nan)
            times.append(time - 1)
            values.append(math.nan)
        times.append(time)
        values.append(value)
    return times, values


def scale(axes: Axes, panel: Json, series: Sequence[Series], seconds: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    highest = max((v for each in series for v in each.values if math.isfinite(v)), default=0)
    _, top = axes.get_ylim()
    axes.set_ylim(0, max(top, highest * 1.08) or 1)
    for step in (defaults.get("thresholds") or {}).get("steps", []):
        threshold = step["value"]
        if threshold is not None and 1e-6 < threshold < axes.get_ylim()[1] * 1.3:
            axes.axhline(threshold, color=NAMED[step["color"]], lw=1, ls=(0, (3, 4)), alpha=0.9)
            axes.set_ylim(0, max(axes.get_ylim()[1], threshold * 1.08))
    unit = defaults["unit"]
    whole = unit == "short" and axes.get_ylim()[1] >= 4
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, unit)))
    scale_time(axes, seconds)


def scale_time(axes: Axes, seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[3, 6, 10]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value // 60:.0f}:{value % 60:02.0f}")
    )


def draw_timeline(figure: SubFigure, panel: Json, answer: Answer, top: float) -> None:
    series = sorted(answer.all, key=lambda each: each.name, reverse=True)
    axes = add_axes(figure, top, below=34, left=20)
    axes.grid(visible=False)
    for row, each in enumerate(series):
        for (start, value), (end, _) in zip(each.points, each.points[1:], strict=False):
            color = find_state_color(panel, value)
            axes.fill_between([start, end], row + 0.05, row + 0.85, color=color, lw=0, alpha=0.85)
        axes.text(2, row + 0.45, each.name, va="center", fontsize=8, color=BACKGROUND)
    axes.set_ylim(0, len(series) + 0.1)
    axes.set_yticks([])
    scale_time(axes, answer.seconds)


def find_state_color(panel: Json, value: float) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    for mapping in defaults.get("mappings") or []:
        options = mapping["options"]
        if mapping["type"] == "value" and f"{value:g}" in options:
            return NAMED[options[f"{value:g}"]["color"]]
        if mapping["type"] == "range" and options["from"] <= value <= options["to"]:
            return NAMED[options["result"]["color"]]
    return pick_color(value, defaults["thresholds"]["steps"])


def draw_heatmap(figure: SubFigure, _panel: Json, answer: Answer, top: float) -> None:
    """Buckets are cumulative: each one's own is what it has more than the one below."""
    ranked = sorted(answer.all, key=lambda each: float(each.labels["le"]))
    times = sorted({time for each in ranked for time in each.times})
    total = np.array([[dict(e.points).get(t, np.nan) for t in times] for e in ranked])
    own = np.diff(np.nan_to_num(total), axis=0, prepend=0)
    last = max((row for row in range(len(own)) if own[row].max() > 0), default=0) + 1
    axes = add_axes(figure, top, below=34, left=70)
    axes.grid(visible=False)
    colors = LinearSegmentedColormap.from_list("heat", HEAT)
    norm = PowerNorm(0.4, 0, own.max())
    axes.pcolormesh(times, np.arange(last), own[:last], cmap=colors, norm=norm, shading="nearest")
    names = [format_value(float(e.labels["le"]), "s").replace("inf", "∞") for e in ranked[:last]]
    axes.set_yticks(np.arange(last), [f"≤ {name}" for name in names])
    scale_time(axes, answer.seconds)


def add_axes(figure: SubFigure, top: float, below: float, left: float = 50) -> Axes:
    width, height = figure.bbox.width, figure.bbox.height
    bottom = below / height
    axes = figure.add_axes((left / width, bottom, 1 - (left + 14) / width, top - bottom))
    axes.set_facecolor(PANEL)
    axes.tick_params(colors=FAINT, labelsize=8, length=0)
    axes.tick_params(axis="x", pad=8)
    axes.grid(color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def count_legend_columns(figure: SubFigure, series: Sequence[Series]) -> int:
    longest = max((len(each.name) for each in series), default=1)
    return max(1, min(len(series) or 1, int(figure.bbox.width / (longest * 6 + 34))))


def draw_legend(figure: SubFigure, axes: Axes, series: Sequence[Series]) -> None:
    """Of many series those that went highest."""
    found = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    peaks = {each.name: np.nanmax(each.values) for each in series}
    names = sorted(found, key=lambda name: peaks[name], reverse=True)[:LEGEND_LIMIT]
    shown = [name for name in found if name in names]
    if not any(shown):
        return
    figure.legend(
        [found[name] for name in shown],
        shown,
        loc="lower left",
        bbox_to_anchor=(6 / figure.bbox.width, 2 / figure.bbox.height),
        ncols=count_legend_columns(figure, series),
        frameon=False,
        labelcolor=TEXT,
        fontsize=8,
        handlelength=1.2,
        handletextpad=0.5,
        borderaxespad=0,
        columnspacing=1.2,
        labelspacing=0.25,
    )


def find_override(panel: Json, name: str) -> str:
    """The colour of a series that is drawn as a dashed line; empty for others."""
    for override in panel["fieldConfig"]["overrides"]:
        pattern = override["matcher"]["options"]
        if override["matcher"]["id"] == "byRegexp" and re.match(pattern.strip("/"), name):
            for each in override["properties"]:
                if each["id"] == "color":
                    return str(each["value"]["fixedColor"])
    return ""


DRAW: dict[str, Callable[[SubFigure, Json, Answer, float], None]] = {
    "stat": draw_stat,
    "timeseries": draw_time_series,
    "state-timeline": draw_timeline,
    "heatmap": draw_heatmap,
    "table": draw_table,
}
