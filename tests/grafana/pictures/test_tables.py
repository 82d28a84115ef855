"""The cells of a table as Grafana shows them."""

from __future__ import annotations

from grafana.pictures.style import NAMED, TEXT
from grafana.pictures.tables import Column, fit, show

MAPPED = {
    "mappings": [{"type": "value", "options": {"1": {"text": "ok", "color": "green"}}}],
    "custom.cellOptions": {"type": "color-text"},
}


def test_a_mapped_value_has_the_text_and_the_colour_of_its_mapping() -> None:
    assert show(1.0, MAPPED, now=0) == ("ok", NAMED["green"])


def test_a_cell_is_coloured_only_where_the_panel_says_so() -> None:
    assert show(1.0, {"mappings": MAPPED["mappings"]}, now=0) == ("ok", TEXT)


def test_a_time_is_relative_to_the_moment_of_the_table() -> None:
    override = {"unit": "dateTimeFromNow"}
    assert show(1_000_000.0, override, now=1_000 + 30)[0] == "a few seconds ago"
    assert show(1_000_000.0, override, now=1_000 + 80)[0] == "a minute ago"
    assert show(1_000_000.0, override, now=1_000 + 300)[0] == "5 minutes ago"


def test_columns_that_do_not_fit_are_counted() -> None:
    columns = [Column([(f"column {number}", TEXT)]) for number in range(10)]
    shown, _ = fit(columns, room=300)
    count = len(shown) - 1
    assert 0 < count < 10
    assert list(shown[:-1]) == columns[:count]
    assert shown[-1].cells[0][0] == f"+{10 - count} more"


def test_columns_that_fit_are_all_shown() -> None:
    columns = [Column([("a", TEXT)]) for _ in range(3)]
    assert fit(columns, room=300)[0] == columns
