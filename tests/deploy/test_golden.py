"""Helm renders the files in golden/; after an intended change `make golden` writes them."""

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
# Dashboards and rules are left out here; test_chart_files.py compares them.
CONTENT: Final = re.compile(r"^(  groups:|  .+\.json: \|)\n(?: {4}.*\n)+", re.MULTILINE)


def join(rendered: Rendered) -> str:
    """Return one YAML file, without the empty lines that templates leave."""
    parts = [
        f"---\n# {path}\n" + CONTENT.sub(r"\1 ...\n", drop_empty_lines(text))
        for path, text in sorted(rendered.items())
        if text.strip() and not path.endswith("NOTES.txt")
    ]
    return "".join(parts)


def drop_empty_lines(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("scenario", sorted(file.stem for file in GOLDEN.iterdir()))
def test_the_chart_renders_the_golden_file(scenario: str) -> None:
    text = join(render_shop(read_values(scenario)))
    file = GOLDEN / f"{scenario}.yaml"
    if WRITES:
        file.write_text(text)
    before, after = file.read_text().splitlines(), text.splitlines()
    difference = "\n".join(unified_diff(before, after, file.name, "rendered", lineterm=""))
    assert not difference, f"{difference}\nIf the change is intended, run make golden."


# Alone, that scenario has no exporter; in another chart, it may have one.
@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"rules-and-dashboards"}))
def test_the_chart_renders_the_same_alone_and_as_a_dependency(scenario: str) -> None:
    alone = read_manifests(render_alone(read_values(scenario)))
    below = [
        manifest
        for manifest in read_manifests(render_shop(read_values(scenario)))
        if (manifest["kind"], manifest["metadata"]["name"]) != ("Deployment", "shop")
    ]
    assert alone == below
