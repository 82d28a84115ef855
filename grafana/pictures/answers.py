"""Prometheus' answers to the panels' own queries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana.dashboard_queries import fill, list_panels, load_dashboard, read_defaults
from grafana.pictures.story import DATABASE, Story
from grafana.stage.rules import speed_up

# A line is interrupted where there are no points for longer.
GAP_SECONDS = 4
# As short as the durations of the story's rules.
INTERVALS = {"__rate_interval": "8s", "__range": "4m"}
# Panels that show one database only, to keep the replica out.
CHOSEN = {("pool-detail", "Server limits"): {"database": DATABASE}}
Json = dict[str, Any]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """A series; its points are pairs of seconds since the story began and values."""

    name: str
    labels: Json
    points: Points

    @property
    def times(self) -> list[float]:
        """The times of the points."""
        return [time for time, _ in self.points]

    @property
    def values(self) -> list[float]:
        """The values of the points."""
        return [value for _, value in self.points]

    def list_pieces(self) -> Iterator[Points]:
        """Yield the points between gaps."""
        for times in split_times(self.times):
            yield [point for point in self.points if times[0] <= point[0] <= times[-1]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answers to a panel.

    Attributes:
        series: The series of each query, in the panel's order.
        started: When the story began, a Unix time.
        moment: The time of instant queries, in seconds since then.
        seconds: The length of the story.
    """

    series: Sequence[Sequence[Series]]
    started: float
    moment: float
    seconds: float

    @property
    def all(self) -> list[Series]:
        """The series of all queries."""
        return [series for each in self.series for series in each]


Answers = dict[tuple[str, int], Answer]


def split_times(times: Sequence[float]) -> list[list[float]]:
    """Return sorted times, split at the gaps."""
    pieces: list[list[float]] = []
    for time in times:
        if not pieces or time - pieces[-1][-1] > GAP_SECONDS:
            pieces.append([])
        pieces[-1].append(time)
    return pieces


def ask_everything(story: Story, names: Sequence[str]) -> Answers:
    """Return the answers to all panels, by the name of the dashboard and the panel's id."""
    return {
        (name, panel["id"]): ask(story, dashboard, panel, CHOSEN.get((name, row), {}))
        for name in names
        for dashboard in [load_dashboard(f"{name}.json")]
        for row, panel in list_panels(dashboard)
    }


def ask(story: Story, dashboard: Json, panel: Json, chosen: Mapping[str, str]) -> Answer:
    """Return the answers to a panel; `chosen` are values of variables."""
    variables = {**read_defaults(dashboard), **INTERVALS, "job": story.job, **chosen}
    found = []
    for target in panel["targets"]:
        expr = fill(speed_up(target["expr"]), variables)
        if target["instant"]:
            at = story.prometheus.query(expr, story.started + story.worst)
            series = [{**each, "values": [each["value"]]} for each in at]
        else:
            series = story.prometheus.query_range(expr, story.started, story.ended, 1)
        found.append([build_series(each, target["legendFormat"], story.started) for each in series])
    return Answer(found, story.started, story.worst, story.ended - story.started)


def build_series(found: Json, legend: str, started: float) -> Series:
    """Return a series of Prometheus' answer, named as the legend says."""
    name = re.sub(r"\{\{(\w+)\}\}", lambda match: found["metric"].get(match[1], ""), legend)
    points = [(float(time) - started, float(value)) for time, value in found["values"]]
    return Series(name, found["metric"], points)
