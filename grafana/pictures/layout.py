"""Which panels stand where: a picture of each row of a dashboard, and a choice for the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from grafana.dashboard_queries import list_panels, load_dashboard
from grafana.pictures.answers import Answers, Json
from grafana.pictures.picture import Picture
from grafana.pictures.tables import measure_height

DASHBOARDS = ("overview", "pool-detail")
# Pixels for Grafana's units.
UNIT, COLUMNS = 32, 24
# The panels of the README's picture, line by line: dashboard and title, without its brackets.
CHOICE = (
    (
        ("overview", "How many databases are down?"),
        ("overview", "In how many pools do checkouts fail?"),
        ("overview", "In how many pools do callers wait?"),
        ("overview", "How many alerts fire?"),
        ("pool-detail", "How full are the pools?"),
        ("pool-detail", "How many checkouts failed?"),
    ),
    (
        ("pool-detail", "How many connections are in use, and how many are there?"),
        ("pool-detail", "How long do checkouts take?"),
    ),
    (
        ("pool-detail", "Why do checkouts fail?"),
        ("overview", "Which databases were up, and when?"),
        ("overview", "How full is each server?"),
    ),
)
CHOICE_HEIGHTS = (4, 8, 7)


def compose_rows(answers: Answers) -> Iterator[tuple[str, Picture]]:
    """Yield a file name and a picture for each row of both dashboards."""
    for name in DASHBOARDS:
        for row, found in groupby(
            list_panels(load_dashboard(f"{name}.json")), lambda each: each[0]
        ):
            panels = [panel for _, panel in found]
            yield f"{name}-{slug(row)}.png", compose_row(name, panels, answers)


def slug(row: str) -> str:
    """Return the title of a row as it stands in a file name, without its brackets."""
    return re.sub(r" \(.*", "", row).lower().replace(",", "").replace(" ", "-")


def compose_row(name: str, panels: list[Json], answers: Answers) -> Picture:
    """Return a picture of panels at their places on the dashboard."""
    picture, top = Picture(), 0
    for _, found in groupby(panels, lambda panel: panel["gridPos"]["y"]):
        line = list(found)
        height = choose_height(name, line, answers)
        for panel in line:
            place = panel["gridPos"]
            box = (place["x"] / COLUMNS, top, place["w"] / COLUMNS, height)
            picture.put(panel, answers[name, panel["id"]], box)
        top += height
    return picture


def choose_height(name: str, line: list[Json], answers: Answers) -> int:
    """Return the height of a line in pixels: as on the dashboard, but with all rows of a table."""
    return max(
        measure_height(panel, answers[name, panel["id"]])
        if panel["type"] == "table"
        else panel["gridPos"]["h"] * UNIT
        for panel in line
    )


def choose_panels() -> list[list[tuple[str, Json]]]:
    """Return the panels of `CHOICE`; raises LookupError if a dashboard lacks one."""
    dashboards = {name: load_dashboard(f"{name}.json") for name in DASHBOARDS}
    return [
        [(name, find_panel(dashboards[name], title)) for name, title in line] for line in CHOICE
    ]


def find_panel(dashboard: Json, title: str) -> Json:
    """Return the panel with that title."""
    for _, panel in list_panels(dashboard):
        if panel["title"].split(" (")[0] == title:
            return panel
    message = f"CHOICE names a panel {title!r} that {dashboard['title']!r} does not have"
    raise LookupError(message)


def compose_choice(chosen: list[list[tuple[str, Json]]], answers: Answers) -> Picture:
    """Return the README's picture: the panels of `CHOICE`, line by line."""
    picture, top = Picture(), 0
    for line, height in zip(chosen, CHOICE_HEIGHTS, strict=True):
        for position, (name, panel) in enumerate(line):
            box = (position / len(line), top, 1 / len(line), height * UNIT)
            picture.put(panel, answers[name, panel["id"]], box)
        top += height * UNIT
    return picture
