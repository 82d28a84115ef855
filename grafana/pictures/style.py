"""The colours of Grafana's dark theme, and which one a value has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.textpath import TextPath

DPI = 100
SMALL = 8.0
BACKGROUND, PANEL, GRID = "#111217", "#1a1c22", "#2c2f36"
TEXT, FAINT = "#d8d9da", "#8e9097"
NAMED: Final = {
    "green": "#73bf69",
    "orange": "#ff9830",
    "red": "#f2495c",
    "yellow": "#fade2a",
    "blue": "#5794f2",
    "purple": "#b877d9",
    "gray": "#808080",
    "text": TEXT,
    "transparent": PANEL,
}
# Neighbours differ, and the colours of thresholds come late.
PALETTE: Final = (
    *("#73bf69", "#8ab8ff", "#f2cc0c", "#b877d9", "#ff780a", "#5fc7c7"),
    *("#5794f2", "#f2495c", "#8f3bb8", "#56a64b", "#ffb357", "#96d98d"),
)
State = tuple[str, str]


def find_color(name: str) -> str:
    """Return the colour of a name; #rrggbb stands for itself."""
    return NAMED.get(name, name)


def list_colors(count: int) -> list[str]:
    """Return a colour for each of `count` series."""
    return [PALETTE[number % len(PALETTE)] for number in range(count)]


def pick_color(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    """Return the colour of the last threshold at or below the value."""
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return find_color(passed[-1]) if passed else TEXT


def find_state(value: float, mappings: Sequence[Mapping[str, Any]]) -> State | None:
    """Return the text and the colour that the value is mapped to."""
    for mapping in mappings:
        options = mapping["options"]
        result = None
        if mapping["type"] == "value":
            result = options.get(f"{value:g}")
        elif mapping["type"] == "range" and options["from"] <= value <= options["to"]:
            result = options["result"]
        if result:
            return result["text"], find_color(result.get("color", TEXT))
    return None


def measure(text: str, size: float) -> float:
    """Return the width of a text in pixels."""
    # TextPath has no extents for an empty text.
    return float(TextPath((0, 0), text, size=size).get_extents().width) * DPI / 72 if text else 0
