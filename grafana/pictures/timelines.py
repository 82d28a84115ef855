"""Timelines of states: a bar for each series, and a key to the colours."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from grafana.pictures.answers import Points, Series
from grafana.pictures.legends import place_legend
from grafana.pictures.sheets import Sheet
from grafana.pictures.style import SMALL, State, find_state, measure, pick_color
from grafana.pictures.units import format_value

KEY_PIXELS = 18
OPACITY = 0.7
# A state (text and colour), its start and its end.
Stretch = tuple[State, float, float]


def draw_timeline(sheet: Sheet) -> None:
    """Draw a bar for each series and the key to its colours."""
    series = sorted(sheet.answer.all, key=lambda each: each.name, reverse=True)
    left = 20 + max(measure(each.name, SMALL) for each in series)
    axes = sheet.add_axes(below=34 + KEY_PIXELS, left=left)
    axes.grid(visible=False)
    states: dict[State, None] = {}
    for row, each in enumerate(series):
        for stretch in list_stretches(sheet, each):
            draw_stretch(axes, row, stretch)
            states[stretch[0]] = None
    axes.set_ylim(0, len(series) + 0.1)
    axes.set_yticks([row + 0.45 for row in range(len(series))], [each.name for each in series])
    draw_key(sheet, states)


def list_stretches(sheet: Sheet, series: Series) -> Iterator[Stretch]:
    """Yield the stretches of a series; there are none in its gaps."""
    for piece in series.list_pieces():
        yield from join(sheet, piece)


def join(sheet: Sheet, piece: Points) -> Iterator[Stretch]:
    """Yield the states of a piece without gaps; each lasts until the next one begins."""
    changes = [
        (state, next(group)[0])
        for state, group in groupby(piece, lambda point: name_state(sheet, point[1]))
    ]
    ends = [start for _, start in changes[1:]] + [piece[-1][0]]
    for (state, start), end in zip(changes, ends, strict=True):
        yield state, start, end


def name_state(sheet: Sheet, value: float) -> State:
    """Return the state of a value by the mappings, or by the thresholds, like `20 %+`."""
    state = find_state(value, sheet.defaults.get("mappings") or [])
    if state:
        return state
    steps = sheet.defaults["thresholds"]["steps"]
    bounds = [step["value"] for step in steps if step["value"] is not None]
    passed = [bound for bound in bounds if value >= bound]
    text = f"{format_bound(passed[-1], sheet.unit)}+" if passed else "any"
    if bounds and not passed:
        text = f"< {format_bound(bounds[0], sheet.unit)}"
    return text, pick_color(value, steps)


def format_bound(value: float, unit: str) -> str:
    """Return the text of a threshold; shares keep all digits, since they may be tiny."""
    return f"{100 * value:g} %" if unit == "percentunit" else format_value(value, unit)


def draw_stretch(axes: Axes, row: int, stretch: Stretch) -> None:
    """Draw a bar, with its text if it fits."""
    (text, color), start, end = stretch
    axes.fill_between([start, end], row + 0.05, row + 0.85, color=color, lw=0, alpha=OPACITY)
    seconds = axes.get_xlim()[1]
    room = (end - start) / seconds * axes.bbox.width
    if measure(text, SMALL) + 8 < room:
        axes.text(
            start + 4 * seconds / axes.bbox.width, row + 0.43, text, va="center", fontsize=SMALL
        )


def draw_key(sheet: Sheet, states: dict[State, None]) -> None:
    """Draw the key to the states that occurred."""
    handles = [Patch(color=color, alpha=OPACITY, lw=0) for _, color in states]
    place_legend(sheet, handles, [text for text, _ in states], len(states))
