"""Graphs: gaps, legends and the marked moment."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from grafana.pictures.graphs import draw_graph
from tests.grafana.pictures.samples import build_answer, build_panel, build_sheet, repeat

STACKED = {"drawStyle": "line", "stacking": {"mode": "normal", "group": "A"}}
GAP = [*repeat(3, 0, 100), *repeat(3, 140, 180)]
LIMIT = {
    "matcher": {"id": "byRegexp", "options": "/^limit$/"},
    "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}],
}


def test_stacked_areas_have_a_gap_where_all_series_have_one() -> None:
    sheet = build_sheet(build_panel(custom=STACKED), build_answer({"a": GAP, "b": GAP}))
    draw_graph(sheet)
    [axes] = sheet.figure.axes
    paths = [path for area in axes.collections for path in area.get_paths()]

    def is_covered(time: float) -> bool:
        return any(path.contains_point((time, 1.0)) for path in paths)

    assert list(map(is_covered, (50, 99, 105, 120, 135, 141, 170))) == [
        *(True, True, False, False, False, True, True)
    ]


def test_a_line_is_interrupted_where_it_has_no_points() -> None:
    sheet = build_sheet(build_panel(), build_answer({"a": GAP}))
    draw_graph(sheet)
    [axes] = sheet.figure.axes
    ends = [(min(times), max(times)) for times in map(read_times, axes.lines)]
    assert ends == [(0, 100), (140, 180)]


def read_times(line: Line2D) -> list[float]:
    times: list[float] = np.asarray(line.get_xdata(), float).tolist()
    return times


def read_legend(names: list[str]) -> list[str]:
    panel = build_panel()
    panel["fieldConfig"]["overrides"] = [LIMIT]
    found = {name: repeat(100.0 - number) for number, name in enumerate(names)}
    sheet = build_sheet(panel, build_answer(found))
    draw_graph(sheet)
    [legend] = sheet.figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_a_legend_names_all_series_that_fit() -> None:
    names = ["in use", "idle", "limit"]
    assert read_legend(names) == names


def test_a_legend_counts_what_it_leaves_out_and_keeps_the_limit() -> None:
    names = [*(f"a name so long that it has a line of its own {n}" for n in range(8)), "limit"]
    assert read_legend(names) == [*names[:4], "limit", "+4 more"]


def test_the_moment_of_the_tiles_is_marked() -> None:
    sheet = build_sheet(build_panel(), build_answer({"a": repeat(1)}), mark="tiles: 1:20")
    draw_graph(sheet)
    [axes] = sheet.figure.axes
    assert [text.get_text() for text in axes.texts] == ["tiles: 1:20"]
    assert [80, 80] in [read_times(line) for line in axes.lines]


def test_the_time_axis_counts_minutes() -> None:
    sheet = build_sheet(build_panel(), build_answer({"a": repeat(1)}))
    draw_graph(sheet)
    [axes] = sheet.figure.axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["0 min", "1 min", "2 min", "3 min"]
