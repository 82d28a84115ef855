"""How the cost of GET /metrics grows: with lines, databases, processes, and pools per process.

    python -m benchmarks.growth [--most 512] [--rounds 10] [--image docs/images/growth.png]

The exporter is a process of its own, and its CPU time counts. Between two scrapes every pool is
used and every database probed. Of lines and databases the peer is prometheus_client's
`generate_latest`, which only prints the same families. Of processes and their pools it is the same
over `MultiProcessCollector`, which reads as many samples out of its own files. Both axes are
logarithmic: cost that grows in proportion has the slope of the grey line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from prometheus_client.registry import Collector

from benchmarks.exporters import Client, Exporter
from benchmarks.read_files import populate, read_peers
from benchmarks.scrape import (
    FILES,
    Change,
    Families,
    measure_print,
    measure_scrape,
    name_pools,
    run_with_databases,
    run_with_pools,
)
from benchmarks.tables import print_table

GENERATE_LATEST, MULTI_PROCESS = "generate_latest", "MultiProcessCollector"
OURS_COLOR, PEER_COLOR, SLOPE_COLOR = "#1f6fb4", "#b8551a", "#b0b0b0"


@dataclass(frozen=True)
class Case:
    """An exporter with so much to show."""

    exporter: Exporter
    change: Change
    peer: Collector


Run: TypeAlias = Callable[[Path, int], AbstractContextManager[Case]]
"""Runs an exporter in a folder, with so many of something."""


@dataclass(frozen=True)
class Point:
    """What a scrape costs: milliseconds of CPU time."""

    count: int
    lines: int
    ours_ms: float
    peer_ms: float


@dataclass(frozen=True)
class Axis:
    """Something that grows.

    Attributes:
        name: What it is.
        peer: The peer of prometheus_client.
        counts: How many there are in one case after the other.
        is_lines: Whether lines are shown instead of what was counted.
    """

    name: str
    peer: str
    counts: Sequence[int]
    run: Run
    is_lines: bool = False

    def read(self, point: Point) -> int:
        """Return where a point lies."""
        return point.lines if self.is_lines else point.count


def main(arguments: Sequence[str]) -> int:
    """Print a table for each axis, and draw all of them."""
    options = parse(arguments)
    measured = {axis: measure(axis, options.most, options.rounds) for axis in AXES}
    for axis, points in measured.items():
        print_points(axis, points)
    if options.image:
        draw(measured).savefig(options.image, dpi=110)
    return 0


def measure(axis: Axis, most: int, rounds: int) -> list[Point]:
    """Return a point for each count up to `most`; both sides take turns."""
    points = []
    for count in axis.counts:
        if count <= most:
            with (
                tempfile.TemporaryDirectory(prefix="benchmark-") as name,
                axis.run(Path(name), count) as case,
            ):
                points.append(measure_case(case, count, rounds))
    return points


def measure_case(case: Case, count: int, rounds: int) -> Point:
    """Return the shortest times of some rounds: other work on the machine only adds to them."""
    client = Client(case.exporter.port)
    ours_ns, peer_ns = [], []
    for _ in range(rounds):
        case.change()
        ours_ns.append(measure_scrape(case.exporter, client))
        peer_ns.append(measure_print(case.peer))
    lines = client.get("/metrics").count(b"\n")
    return Point(count, lines, min(ours_ns) / 1e6, min(peer_ns) / 1e6)


@contextmanager
def run_lines(folder: Path, count: int) -> Iterator[Case]:
    """Run an exporter with the pools of an application."""
    with run_with_pools(folder, name_pools(count), FILES) as (exporter, use):
        yield Case(exporter, use, read_same(exporter))


@contextmanager
def run_databases(folder: Path, count: int) -> Iterator[Case]:
    """Run an exporter with databases."""
    with run_with_databases(folder, count) as (exporter, probe):
        yield Case(exporter, probe, read_same(exporter))


@contextmanager
def run_processes(folder: Path, count: int) -> Iterator[Case]:
    """Run an exporter with an application that has one pool in each of its processes."""
    with run_with_pools(folder, ["orders"] * count, count) as (exporter, use):
        yield Case(exporter, use, write_peers(folder, processes=count, pools=1))


@contextmanager
def run_pools(folder: Path, count: int) -> Iterator[Case]:
    """Run an exporter with an application that has one process."""
    with run_with_pools(folder, name_pools(count), 1) as (exporter, use):
        yield Case(exporter, use, write_peers(folder, processes=1, pools=count))


AXES = (
    Axis("lines", GENERATE_LATEST, (0, 2, 6, 20, 65, 210, 680), run_lines, is_lines=True),
    Axis("databases", GENERATE_LATEST, (1, 3, 10, 30, 100, 500), run_databases),
    Axis("processes", MULTI_PROCESS, (1, 4, 16, 64, 256, 512), run_processes),
    Axis("pools per process", MULTI_PROCESS, (1, 4, 16, 64, 256), run_pools),
)


def read_same(exporter: Exporter) -> Collector:
    """Return the families that the exporter has."""
    return Families(Client(exporter.port).get("/metrics").decode())


def write_peers(folder: Path, processes: int, pools: int) -> Collector:
    """Return prometheus_client's reader of the files of as many processes, which have ended."""
    with populate("prometheus", folder / "peers", processes, pools):
        return read_peers(folder / "peers")


def print_points(axis: Axis, points: Sequence[Point]) -> None:
    """Print a row for each point."""
    header = [axis.name, "ours, ms", "peer, ms", "times as fast"]
    rows = [
        [
            f"{axis.read(point)}",
            f"{point.ours_ms:.2f}",
            f"{point.peer_ms:.2f}",
            f"{point.peer_ms / point.ours_ms:.1f}",
        ]
        for point in points
    ]
    print_table(f"A scrape by {axis.name}; the peer is {axis.peer}", header, rows)


def draw(measured: Mapping[Axis, Sequence[Point]]) -> Figure:
    """Return a panel for each axis, all with the same scale of time."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    figure.suptitle("CPU time of GET /metrics, in milliseconds", fontsize=12)
    panels = figure.subplots(2, 2, sharey=True).flat
    for panel, (axis, points) in zip(panels, measured.items(), strict=True):
        draw_panel(panel, axis, points)
    return figure


def draw_panel(panel: Axes, axis: Axis, points: Sequence[Point]) -> None:
    """Draw ours and the peer, and below them the slope of a cost in proportion."""
    at = [axis.read(point) for point in points]
    ours, peer = [point.ours_ms for point in points], [point.peer_ms for point in points]
    panel.loglog(at, [ours[-1] * each / at[-1] for each in at], "--", color=SLOPE_COLOR, lw=1)
    for name, times, color in ((axis.peer, peer, PEER_COLOR), ("ours", ours, OURS_COLOR)):
        panel.loglog(at, times, "o-", color=color, lw=1.5, ms=4)
        # Left of the last point, above the line.
        offset: dict[str, Any] = {"xytext": (-14, 2), "textcoords": "offset points"}
        panel.annotate(name, (at[-1], times[-1]), color=color, ha="right", **offset)
    panel.set_ylim(bottom=0.2)
    panel.set_xlabel(axis.name)
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color="#eeeeee")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=sys.maxsize, help="leave larger counts out")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--image", type=Path, help="where to draw a PNG")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
