"""Colours and units as Grafana shows them; knows neither panels nor data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from matplotlib.textpath import TextPath

Json = dict[str, Any]

DPI = 100
BACKGROUND, PANEL, GRID = "#111217", "#1a1c22", "#2c2f36"
TEXT, FAINT = "#d8d9da", "#8e9097"
NAMED: Final = {
    "green": "#73bf69",
    "orange": "#ff9830",
    "red": "#f2495c",
    "yellow": "#fade2a",
    "text": "#5794f2",
}
# Of Grafana's, in an order in which neighbours differ and the colours of thresholds come late.
PALETTE: Final = (
    *("#73bf69", "#8ab8ff", "#f2cc0c", "#b877d9", "#ff780a", "#5fc7c7"),
    *("#5794f2", "#f2495c", "#8f3bb8", "#56a64b", "#ffb357", "#96d98d"),
)
# From hardly ever to very often.
HEAT: Final = (PANEL, "#4a2c16", "#a8520c", "#ff9830", "#ffe7b0")


def pick_color(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    """The colour of the last threshold at or below the value."""
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED.get(passed[-1], passed[-1]) if passed else NAMED["text"]


def measure(text: str, size: float) -> float:
    """The width of a text in pixels."""
    return float(TextPath((0, 0), text or " ", size=size).get_extents().width) * DPI / 72


def format_value(value: float, unit: str) -> str:
    return UNITS.get(unit, format_number)(value)


def format_number(value: float) -> str:
    if abs(value) >= 100 or value == round(value):
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"


def format_seconds(value: float) -> str:
    if value == 0:
        return "0 s"
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if value < 90 else f"{value / 60:.1f} min"


def format_bytes(value: float) -> str:
    return f"{value / 2**20:.0f} MiB"


UNITS: Mapping[str, Callable[[float], str]] = {
    "percentunit": lambda value: f"{100 * value:.0f} %",
    "s": format_seconds,
    "bytes": format_bytes,
    "cps": lambda value: f"{format_number(value)}/s",
    "ops": lambda value: f"{format_number(value)}/s",
    "cpm": lambda value: f"{format_number(value)}/min",
    "dateTimeFromNow": lambda value: f"{datetime.fromtimestamp(value / 1000, UTC):%H:%M:%S}",
    "bool_yes_no": lambda value: "yes" if value else "no",
}
