"""Timelines: states and the key to their colours."""

from __future__ import annotations

from grafana.pictures.answers import Series
from grafana.pictures.style import NAMED
from grafana.pictures.timelines import draw_timeline, list_stretches
from tests.grafana.pictures.samples import build_answer, build_panel, build_sheet, repeat

UP, DOWN = ("up", NAMED["green"]), ("down", NAMED["red"])
OPTIONS = {"1": {"text": "up", "color": "green"}, "0": {"text": "down", "color": "red"}}
STEPS = [
    {"value": None, "color": "green"},
    {"value": 0.001, "color": "orange"},
    {"value": 0.2, "color": "red"},
]
MAPPED = build_panel("state-timeline", mappings=[{"type": "value", "options": OPTIONS}])
MEASURED = build_panel("state-timeline", unit="percentunit", thresholds={"steps": STEPS})


def test_a_state_lasts_until_the_next_one_or_a_gap() -> None:
    points = [*repeat(1, 0, 49), *repeat(0, 50, 80), *repeat(1, 120, 180)]
    sheet = build_sheet(MAPPED, build_answer({}))
    assert list(list_stretches(sheet, Series("a", {}, points))) == [
        (UP, 0, 50),
        (DOWN, 50, 80),
        (UP, 120, 180),
    ]


def test_the_key_has_every_state_that_occurred() -> None:
    sheet = build_sheet(MAPPED, build_answer({"a": [*repeat(1, 0, 90), *repeat(0, 91)]}))
    draw_timeline(sheet)
    [legend] = sheet.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["up", "down"]


def test_without_mappings_the_key_has_the_thresholds() -> None:
    points = [*repeat(0, 0, 50), *repeat(0.1, 51, 100), *repeat(1, 101)]
    sheet = build_sheet(MEASURED, build_answer({"a": points}))
    draw_timeline(sheet)
    [legend] = sheet.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["< 0.1 %", "0.1 %+", "20 %+"]
