"""docs/faults.md and the tests agree."""

from __future__ import annotations

import ast
import re
from itertools import takewhile
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.failures import PROBE_REASONS, Reason
from tests.faults.catalogue import CATALOGUE, Fault, Lasts, Noticed

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "faults.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
NOTICED = {
    Noticed.ANY: "interval",
    Noticed.FRESH: "fresh interval + interval",
    Noticed.MAYBE: "interval, or not at all",
}


def read_table(heading: str) -> list[str]:
    """Return the rows of the first table below a heading, without its head."""
    section = DOCS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = section[section.index("\n|") + 1 :].splitlines()
    return list(takewhile(lambda line: line.startswith("|"), lines))[2:]


def build_row(fault: Fault) -> str:
    """Return the row of a fault."""
    reasons = [reason.value for reason in PROBE_REASONS if reason in fault.reasons]
    shown = " or ".join(f"`{reason}`" for reason in reasons)
    timeout = " + timeout" if Reason.TIMEOUT in fault.reasons else ""
    noticed = NOTICED[fault.noticed] + timeout
    recovered = f"interval{timeout}"
    if fault.lasts is Lasts.ONE_PROBE:
        recovered += ", by itself"
    cells = [
        fault.what,
        fault.where,
        f"`up` 0, {shown}",
        f"503, {shown}",
        "is down, is up",
        noticed,
        recovered,
        f"`{fault.name}`",
    ]
    return f"| {' | '.join(cells)} |"


def find_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_fault_has_its_row_and_every_row_its_fault() -> None:
    assert read_table("What breaks, and what you see") == [build_row(fault) for fault in CATALOGUE]


def test_names_of_faults_are_unique() -> None:
    names = [fault.name for fault in CATALOGUE]
    assert len(set(names)) == len(names)


def test_every_row_of_the_other_tables_names_its_tests() -> None:
    for heading in ("Names, failovers, passwords", "What users of other exporters complain about"):
        rows = read_table(heading)
        assert rows
        for row in rows:
            assert TEST.search(row), row


@pytest.mark.parametrize(("file", "name"), sorted(set(TEST.findall(DOCS))))
def test_every_named_test_exists(file: str, name: str) -> None:
    assert name in find_tests(ROOT / file)
