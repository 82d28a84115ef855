"""What Helm renders stays as it is in golden/, until `make golden` writes it anew."""

from __future__ import annotations

import os
import re
from difflib import unified_diff
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.charts import (
    SCENARIOS,
    Rendered,
    read_manifests,
    read_values,
    render_alone,
    render_shop,
)

GOLDEN: Final = Path(__file__).parent / "golden"
WRITES: Final = bool(os.environ.get("WRITE_GOLDEN"))
# What dashboards and rules say is not the chart's; test_chart_files.py holds it unchanged.
CONTENT: Final = re.compile(r"^(  groups:|  .+\.json: \|)\n(?: {4}.*\n)+", re.MULTILINE)


def join(rendered: Rendered) -> str:
    """One YAML file, without the empty lines that templates leave."""
    parts = [
        f"---\n# {path}\n" + CONTENT.sub(r"\1 ...\n", drop_empty_lines(text))
        for path, text in sorted(rendered.items())
        if text.strip() and not path.endswith("NOTES.txt")
    ]
    return "".join(parts)


def drop_empty_lines(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_rendered_is_as_it_was(scenario: str) -> None:
    text = join(render_shop(read_values(scenario)))
    file = GOLDEN / f"{scenario}.yaml"
    if WRITES:
        file.write_text(text)
    before, after = file.read_text().splitlines(), text.splitlines()
    difference = "\n".join(unified_diff(before, after, file.name, "rendered", lineterm=""))
    assert not difference, f"{difference}\nIs it meant so? Run make golden."


def test_each_golden_file_has_its_scenario() -> None:
    assert sorted(file.stem for file in GOLDEN.iterdir()) == SCENARIOS


# By itself it has no exporter, which a chart around it may have.
@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"rules-and-dashboards"}))
def test_our_manifests_are_the_same_without_a_chart_around(scenario: str) -> None:
    alone = read_manifests(render_alone(read_values(scenario)))
    below = [
        manifest
        for manifest in read_manifests(render_shop(read_values(scenario)))
        if (manifest["kind"], manifest["metadata"]["name"]) != ("Deployment", "shop")
    ]
    assert alone == below
