"""The smallest panels and answers that can be drawn."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from grafana.pictures.answers import Answer, Json, Points, Series
from grafana.pictures.picture import add_part
from grafana.pictures.sheets import Sheet

SECONDS = 180.0
MOMENT = 80.0


def build_panel(kind: str = "timeseries", **more: Any) -> Json:
    """Return a panel; `more` are defaults of its fields."""
    defaults = {"unit": "short", "noValue": "nothing", "custom": {"drawStyle": "line"}, **more}
    return {
        "title": "How many?",
        "type": kind,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def build_answer(found: dict[str, Points]) -> Answer:
    series = [Series(name, {}, points) for name, points in found.items()]
    return Answer([series], started=1e9, moment=MOMENT, seconds=SECONDS)


def build_sheet(panel: Json, answer: Answer, width: int = 400, mark: str = "") -> Sheet:
    """Return a sheet on a picture of its own."""
    figure = Figure(figsize=(12, 3))
    part = add_part(figure, (0, 0, width / 1200, 300))
    return Sheet(part, panel, answer, 0.9, mark)


def repeat(value: float, start: int = 0, end: int = int(SECONDS)) -> Points:
    return [(float(second), value) for second in range(start, end + 1)]
