"""Draws each row of the dashboards from a real Prometheus; a program, run at the project's root.

    python -m docs.images.draw_rows [SAVED]

It tells the story of `drawing/story.py`, asks Prometheus what each panel asks, and writes a picture
for each row into docs/images/rows/, and docs/images/overview.png. With a file SAVED the answers are
kept there, or taken from it when it exists: to change the look without a new run.
"""

from __future__ import annotations

import pickle
import re
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import matplotlib as mpl

from docs.images.drawing.answers import Answers, Json, ask_everything
from docs.images.drawing.pictures import Picture
from docs.images.drawing.story import tell_story
from docs.images.drawing.style import TEXT
from docs.images.drawing.tables import measure_height
from tests.grafana.dashboard_queries import list_panels, load_dashboard

FOLDER = Path(__file__).parent
DASHBOARDS = ("overview", "pool-detail")
# Pixels for Grafana's units.
UNIT, COLUMNS = 32, 24
# What the picture in the README is put together from, a line each: panels by dashboard and title,
# without what it has in brackets.
CHOICE = (
    (
        ("overview", "How many databases are down?"),
        ("overview", "In how many pools do callers give up?"),
        ("overview", "In how many pools do callers wait?"),
        ("overview", "How many alerts fire?"),
        ("pool-detail", "How full are the pools?"),
        ("pool-detail", "How many callers gave up?"),
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


def main(saved: Path | None) -> None:
    """Draws all pictures; answers are taken from the file `saved`, or put there for next time."""
    # First of all: a panel that is called differently now is found before the story is told.
    chosen = choose_panels()
    answers = load_answers(saved)
    mpl.rcParams |= {"font.family": "DejaVu Sans", "text.color": TEXT}
    (FOLDER / "rows").mkdir(exist_ok=True)
    for path, picture in compose_rows(answers):
        picture.save(path)
    compose_choice(chosen, answers).save(FOLDER / "overview.png")


def load_answers(saved: Path | None) -> Answers:
    if saved and saved.exists():
        loaded: Answers = pickle.loads(saved.read_bytes())  # noqa: S301 - our own
        return loaded
    with tempfile.TemporaryDirectory() as name:
        # The database's server runs as another user.
        Path(name).chmod(0o755)
        with tell_story(Path(name)) as story:
            answers = ask_everything(story, DASHBOARDS)
    if saved:
        saved.write_bytes(pickle.dumps(answers))
    return answers


def compose_rows(answers: Answers) -> Iterator[tuple[Path, Picture]]:
    """Each row of both dashboards, and where its picture goes."""
    for name in DASHBOARDS:
        for row, found in groupby(
            list_panels(load_dashboard(f"{name}.json")), lambda each: each[0]
        ):
            panels = [panel for _, panel in found]
            yield FOLDER / "rows" / f"{name}-{slug(row)}.png", compose_row(name, panels, answers)


def slug(row: str) -> str:
    return re.sub(r" \(.*", "", row).lower().replace(" ", "-")


def compose_row(name: str, panels: list[Json], answers: Answers) -> Picture:
    """Panels as they stand on the dashboard."""
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
    """As on the dashboard, but tables are as high as they are long."""
    return max(
        measure_height(panel, answers[name, panel["id"]])
        if panel["type"] == "table"
        else panel["gridPos"]["h"] * UNIT
        for panel in line
    )


def choose_panels() -> list[list[tuple[str, Json]]]:
    """Raises LookupError for a title that is not on its dashboard."""
    dashboards = {name: load_dashboard(f"{name}.json") for name in DASHBOARDS}
    return [
        [(name, find_panel(dashboards[name], title)) for name, title in line] for line in CHOICE
    ]


def find_panel(dashboard: Json, title: str) -> Json:
    for _, panel in list_panels(dashboard):
        if panel["title"].split(" (")[0] == title:
            return panel
    message = f"no panel of {dashboard['title']!r} is called {title!r}, which CHOICE names"
    raise LookupError(message)


def compose_choice(chosen: list[list[tuple[str, Json]]], answers: Answers) -> Picture:
    """The panels of CHOICE in lines of their own, for the README."""
    picture, top = Picture(), 0
    for line, height in zip(chosen, CHOICE_HEIGHTS, strict=True):
        for position, (name, panel) in enumerate(line):
            box = (position / len(line), top, 1 / len(line), height * UNIT)
            picture.put(panel, answers[name, panel["id"]], box)
        top += height * UNIT
    return picture


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
