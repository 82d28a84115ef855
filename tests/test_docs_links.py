"""Links in the documentation lead to files and headings, and to the code that the text names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
ARCHITECTURE = ROOT / "docs" / "architecture.md"
# Files that CONTRIBUTING.md adds in its examples.
EXAMPLES = {
    "exporter/sqlalchemy_pool_exporter/dialects/firebird.py",
    "tests/exporter/dialects/test_firebird.py",
    "tests/exporter/web/test_version.py",
}
PACKAGES = ("exporter/sqlalchemy_pool_exporter", "agent/sqlalchemy_pool_metrics")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([^"]+)">')
# `Class.method` in [file.py](path): code that a walk through the architecture names.
NAMED = re.compile(r"`([\w.]+)`\s+in\s+\[[\w/.]+\]\(([\w/.]+\.py)\)")


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them."""
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }
    return headings | set(ANCHOR.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in list_anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert not broken


def test_the_index_of_decisions_lists_every_record() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(file.name for file in folder.iterdir() if file.stem != "README")


def test_the_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|exporter|agent|config|docs|grafana|\.ci)/[\w./]+)`", text))
    assert {path for path in named - EXAMPLES if not (ROOT / path).exists()} == set()
    assert named > EXAMPLES


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_lists_every_part_of_a_package(package: str) -> None:
    listed = re.findall(r"`([\w/.]+)`", ARCHITECTURE.read_text(encoding="utf-8"))
    parts = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / package).iterdir()
        if path.suffix == ".py" or path.is_dir()
    }
    assert parts - {"__init__.py", "__pycache__/"} <= set(listed)


def test_the_architecture_names_code_that_exists() -> None:
    page = ARCHITECTURE
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    missing = [
        f"{name} in {path}"
        for name, path in named
        for part in name.split(".")
        if not re.search(
            rf"\b(?:class|def) {part}\b|^ *{part}\b *[:=]",
            (page.parent / path).read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert len(named) > 20
    assert not missing
