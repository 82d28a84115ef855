"""Helm's linter accepts the charts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.charts import CHART, SCENARIOS, Values, copy_shop, helm, read_values

INFORMATION = 1


def lint(chart: Path, values: Values) -> list[str]:
    report = helm.lint(chart, dict(values), strict=True, with_subcharts=True)
    return [each for each in report["messages"] if each["severity"] > INFORMATION]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_shop(tmp_path_factory.mktemp("lint"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_chart_has_no_faults(scenario: str) -> None:
    assert lint(CHART, read_values(scenario)) == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_chart_that_depends_on_it_has_no_faults(shop: Path, scenario: str) -> None:
    assert lint(shop, {"poolexporter": read_values(scenario)}) == []


def test_the_check_finds_a_fault() -> None:
    assert lint(CHART, {"porto": 9723}) != []
