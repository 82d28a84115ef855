"""Draws each row of the dashboards from a real Prometheus; a program, run at the project's root.

    python -m docs.images.draw_rows [SAVED]

It tells the story of `draw_rows_story.py`, asks Prometheus what each panel asks, and writes a
picture for each row into docs/images/rows/, and docs/images/overview.png. With a file SAVED the
answers are kept there, or taken from it when it exists: to change the look without a new run.
"""

from __future__ import annotations

import pickle
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec
from PIL import Image

from docs.images.draw_rows_panels import Answer, Series, draw_panel
from docs.images.draw_rows_story import Story, tell_story
from docs.images.draw_rows_style import BACKGROUND, DPI, TEXT, Json
from docs.images.draw_rows_tables import measure_height
from tests.grafana.dashboard_queries import fill, list_panels, load_dashboard, read_defaults
from tests.grafana.scenarios.rules import quicken

FOLDER = Path(__file__).parent
DASHBOARDS = ("overview", "pool-detail")
# As quick as the rules of the story.
INTERVALS = {"__rate_interval": "8s", "__range": "4m"}
WIDTH, UNIT, GAP = 1200, 32, 6
# What the picture in the README is put together from: panels by dashboard and title, a line each.
CHOICE = (
    (
        *(("overview", title) for title in ("How many databases are down?",)),
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
# Where the replica would only be in the way.
DATABASES = {("pool-detail", "Server limits"): {"database": "shop"}}
Answers = dict[tuple[str, int], Answer]


def main(saved: Path | None) -> None:
    if saved and saved.exists():
        answers: Answers = pickle.loads(saved.read_bytes())  # noqa: S301 - our own
    else:
        with (
            tempfile.TemporaryDirectory() as name,
            tell_story(make_readable(Path(name))) as story,
        ):
            answers = ask_everything(story)
        if saved:
            saved.write_bytes(pickle.dumps(answers))
    mpl.rcParams |= {"font.family": "DejaVu Sans", "text.color": TEXT, "figure.dpi": DPI}
    (FOLDER / "rows").mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        draw_rows(dashboard, answers)
    draw_choice(answers)


def make_readable(folder: Path) -> Path:
    folder.chmod(0o755)
    return folder


def ask_everything(story: Story) -> Answers:
    return {
        (name, panel["id"]): ask(story, dashboard, panel, DATABASES.get((name, row), {}))
        for name in DASHBOARDS
        for dashboard in [load_dashboard(f"{name}.json")]
        for row, panel in list_panels(dashboard)
    }


def ask(story: Story, dashboard: Json, panel: Json, chosen: Mapping[str, str]) -> Answer:
    """What Prometheus has; numbers and tables are those of the worst moment."""
    variables = {**read_defaults(dashboard), **INTERVALS, "job": "shop", **chosen}
    found = []
    for target in panel["targets"]:
        expr = fill(quicken(target["expr"]), variables)
        series = (
            [
                {**each, "values": [each["value"]]}
                for each in story.prometheus.query(expr, story.worst)
            ]
            if target["instant"]
            else story.prometheus.query_range(expr, story.started, story.ended, 1)
        )
        found.append([build_series(each, target["legendFormat"], story.started) for each in series])
    return Answer(found, story.ended - story.started)


def build_series(found: Any, legend: str, started: float) -> Series:
    name = re.sub(r"\{\{(\w+)\}\}", lambda match: found["metric"].get(match[1], ""), legend)
    points = [(float(time) - started, float(value)) for time, value in found["values"]]
    return Series(name, found["metric"], points)


def draw_rows(name: str, answers: Answers) -> None:
    rows: dict[str, list[Json]] = {}
    for row, panel in list_panels(load_dashboard(f"{name}.json")):
        rows.setdefault(row, []).append(panel)
    for row, panels in rows.items():
        lines: dict[int, list[Json]] = {}
        for panel in panels:
            lines.setdefault(panel["gridPos"]["y"], []).append(panel)
        heights = [choose_height(name, line, answers) for line in lines.values()]
        figure, top = make_figure(sum(heights)), 0
        for line, height in zip(lines.values(), heights, strict=True):
            for panel in line:
                place = panel["gridPos"]
                box = (place["x"] / 24, top, place["w"] / 24, height)
                put_panel(figure, panel, answers[name, panel["id"]], box)
            top += height
        slug = re.sub(r" \(.*", "", row).lower().replace(" ", "-")
        save(figure, FOLDER / "rows" / f"{name}-{slug}.png")


def choose_height(name: str, line: list[Json], answers: Answers) -> int:
    """As on the dashboard, but tables are as high as they are long."""
    return max(
        measure_height(panel, answers[name, panel["id"]])
        if panel["type"] == "table"
        else panel["gridPos"]["h"] * UNIT
        for panel in line
    )


def draw_choice(answers: Answers) -> None:
    dashboards = {name: load_dashboard(f"{name}.json") for name in DASHBOARDS}
    figure = make_figure(sum(CHOICE_HEIGHTS) * UNIT)
    top = 0
    for line, height in zip(CHOICE, CHOICE_HEIGHTS, strict=True):
        for position, (name, title) in enumerate(line):
            [panel, *_] = [p for _, p in list_panels(dashboards[name]) if p["title"] == title]
            box = (position / len(line), top, 1 / len(line), height * UNIT)
            put_panel(figure, panel, answers[name, panel["id"]], box)
        top += height * UNIT
    save(figure, FOLDER / "overview.png")


def make_figure(height: int) -> Figure:
    figure = Figure(figsize=(WIDTH / DPI, (height + GAP) / DPI))
    figure.set_facecolor(BACKGROUND)
    return figure


def put_panel(
    figure: Figure, panel: Json, answer: Answer, box: tuple[float, float, float, float]
) -> None:
    """`box` is the left end and the width in shares, the upper end and the height in pixels."""
    left, top, width, height = box
    total = figure.bbox.height
    place = (
        left + GAP / 2 / WIDTH,
        1 - (top + height) / total,
        width - GAP / WIDTH,
        (height - GAP) / total,
    )
    draw_panel(add_part(figure, place), panel, answer)


def add_part(figure: Figure, place: tuple[float, float, float, float]) -> Any:
    """A figure in a figure at a place of one's own choice."""
    left, bottom, width, height = place
    grid = GridSpec(1, 1, left=left, right=left + width, bottom=bottom, top=bottom + height)
    part = SubFigure(figure, grid[0])
    figure.subfigs.append(part)
    figure.stale = True
    part.bbox_relative.p0 = (left, bottom)
    part.bbox_relative.p1 = (left + width, bottom + height)
    return part


def save(figure: Figure, path: Path) -> None:
    """With so few colours that it is small."""
    figure.savefig(path, dpi=DPI, facecolor=BACKGROUND)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
