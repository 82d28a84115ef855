"""What Prometheus answers to the panels' own queries; knows nothing of drawing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docs.images.drawing.story import DATABASE, Story
from tests.grafana.dashboard_queries import fill, list_panels, load_dashboard, read_defaults
from tests.grafana.scenarios.rules import quicken

# Nothing for so long is a gap: a line ends there.
GAP_SECONDS = 4
# As quick as the rules of the story.
INTERVALS = {"__rate_interval": "8s", "__range": "4m"}
# Where the replica would only be in the way.
CHOSEN = {("pool-detail", "Server limits"): {"database": DATABASE}}
Json = dict[str, Any]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """Points are seconds since the story began, and values."""

    name: str
    labels: Json
    points: Points

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.points]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points]

    def list_pieces(self) -> Iterator[Points]:
        """The points from gap to gap."""
        for times in split_times(self.times):
            yield [point for point in self.points if times[0] <= point[0] <= times[-1]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The series of each query of a panel, in their order.

    `started` is a unix time; `moment`, which numbers and tables are of, and `seconds`, how long it
    was, are seconds since then.
    """

    series: Sequence[Sequence[Series]]
    started: float
    moment: float
    seconds: float

    @property
    def all(self) -> list[Series]:
        return [series for each in self.series for series in each]


Answers = dict[tuple[str, int], Answer]


def split_times(times: Sequence[float]) -> list[list[float]]:
    """Sorted times, from gap to gap."""
    pieces: list[list[float]] = []
    for time in times:
        if not pieces or time - pieces[-1][-1] > GAP_SECONDS:
            pieces.append([])
        pieces[-1].append(time)
    return pieces


def ask_everything(story: Story, names: Sequence[str]) -> Answers:
    """For the dashboards of these names, by name and number of the panel."""
    return {
        (name, panel["id"]): ask(story, dashboard, panel, CHOSEN.get((name, row), {}))
        for name in names
        for dashboard in [load_dashboard(f"{name}.json")]
        for row, panel in list_panels(dashboard)
    }


def ask(story: Story, dashboard: Json, panel: Json, chosen: Mapping[str, str]) -> Answer:
    variables = {**read_defaults(dashboard), **INTERVALS, "job": story.job, **chosen}
    found = []
    for target in panel["targets"]:
        expr = fill(quicken(target["expr"]), variables)
        if target["instant"]:
            at = story.prometheus.query(expr, story.started + story.worst)
            series = [{**each, "values": [each["value"]]} for each in at]
        else:
            series = story.prometheus.query_range(expr, story.started, story.ended, 1)
        found.append([build_series(each, target["legendFormat"], story.started) for each in series])
    return Answer(found, story.started, story.worst, story.ended - story.started)


def build_series(found: Json, legend: str, started: float) -> Series:
    name = re.sub(r"\{\{(\w+)\}\}", lambda match: found["metric"].get(match[1], ""), legend)
    points = [(float(time) - started, float(value)) for time, value in found["values"]]
    return Series(name, found["metric"], points)
