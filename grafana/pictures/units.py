"""Numbers with their units, about as Grafana shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def format_value(value: float, unit: str, now: float = 0.0) -> str:
    """Return a value with Grafana's unit; `now`, a Unix time, is for times relative to it."""
    if unit == "dateTimeFromNow":
        return format_ago(now - value / 1000)
    return UNITS.get(unit, format_number)(value)


def format_ago(seconds: float) -> str:
    """Return how long ago something was."""
    if seconds < 45:
        return "a few seconds ago"
    minutes = round(seconds / 60)
    return "a minute ago" if minutes <= 1 else f"{minutes} minutes ago"


def format_clock(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


def format_number(value: float) -> str:
    """Return a number with two or three significant digits."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"


def format_seconds(value: float) -> str:
    """Return a duration in the unit that suits it."""
    if value == 0:
        return "0 s"
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if value < 90 else f"{value / 60:.1f} min"


def format_bytes(value: float) -> str:
    """Return bytes in MiB."""
    return f"{value / 2**20:.0f} MiB"


UNITS: Mapping[str, Callable[[float], str]] = {
    "percentunit": lambda value: f"{100 * value:.0f} %",
    "s": format_seconds,
    "bytes": format_bytes,
    "cps": lambda value: f"{format_number(value)}/s",
    "ops": lambda value: f"{format_number(value)}/s",
    "cpm": lambda value: f"{format_number(value)}/min",
    "bool_yes_no": lambda value: "yes" if value else "no",
}
