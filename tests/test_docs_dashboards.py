"""docs/dashboards.md shows a picture of each row of each dashboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grafana.dashboard_queries import list_panels, load_dashboard
from grafana.pictures.layout import CHOICE, DASHBOARDS, choose_panels, slug

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "dashboards.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (.+): (.+)\n\n(.+)\n\n!\[(.+)\]\((.+)\)$", re.MULTILINE)
SECTIONS = SECTION.findall(PAGE)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_row_has_a_section_with_its_picture_in_the_order_of_the_dashboard(name: str) -> None:
    dashboard = load_dashboard(f"{name}.json")
    title = dashboard["title"].split(" / ")[-1]
    rows = dict.fromkeys(slug(row) for row, _ in list_panels(dashboard))
    shown = [
        (slug(row), picture) for dashboard_, row, _, _, picture in SECTIONS if dashboard_ == title
    ]
    assert shown == [(row, f"images/rows/{name}-{row}.png") for row in rows]


def test_the_page_shows_every_picture() -> None:
    shown = {DOCS / picture for *_, picture in SECTIONS}
    assert shown == set((DOCS / "images" / "rows").iterdir())


def test_no_two_pictures_have_the_same_alternative_text() -> None:
    words = [alt for _, _, _, alt, _ in SECTIONS]
    assert len(set(words)) == len(words)


def test_the_panels_of_the_readmes_picture_are_on_the_dashboards() -> None:
    chosen = [title for line in CHOICE for _, title in line]
    found = [panel["title"] for line in choose_panels() for _, panel in line]
    assert [title.split(" (")[0] for title in found] == chosen
