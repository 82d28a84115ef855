"""Each benchmark runs and prints its tables; no test depends on times."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.environments import LINES, QUERY_EXPORTER, is_built

ROOT = Path(__file__).parents[1]
ONE_LAUNCH = ("--launches", "1", "--rounds", "1", "--cycles", "2")
HERE = ("--sqlalchemy", "installed", *ONE_LAUNCH)
needs_environments = pytest.mark.skipif(
    not os.environ.get("CI") and not all(map(is_built, (*LINES, QUERY_EXPORTER))),
    reason="installs from the package index: only where CI is set, or when it was done before",
)


def run(script: str, *arguments: str) -> dict[str, list[str]]:
    """Run a benchmark and return the rows of its tables by their first cell."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in done.stdout.splitlines()]
    return {first: cells for first, *cells in rows if cells}


def are_numbers(cells: list[str]) -> bool:
    return all(re.fullmatch(r"[\d.]+( to [\d.]+)?", cell) for cell in cells)


def test_a_checkout_is_measured_plain_with_ours_and_with_its_peers() -> None:
    rows = run("checkout", "--ways", "one thread", *HERE)

    assert rows["plain SQLAlchemy"][1] == "1.00"
    for variant in ("ours, private memory", "ours, file mapped", "prometheus_client listeners"):
        assert len(rows[variant]) == 3
        assert are_numbers(rows[variant])


@pytest.mark.parametrize("way", ["4 threads", "asyncio"])
def test_a_checkout_is_measured_in_each_way_of_working(way: str) -> None:
    assert are_numbers(run("checkout", "--ways", way, *HERE)["ours, file mapped"])


@needs_environments
def test_opentelemetry_is_measured_on_sqlalchemy_2_0_and_refuses_2_1() -> None:
    cells = {
        line: run("checkout", "--ways", "one thread", "--sqlalchemy", line, *ONE_LAUNCH)
        for line in LINES
    }

    assert are_numbers(cells["2.0"]["OpenTelemetry"])
    assert cells["2.1"]["OpenTelemetry"][0] == "refuses"


def test_files_are_read_while_their_processes_live_and_after() -> None:
    rows = run("read_files", "--processes", "3", "--rounds", "1")

    assert len(rows) >= 5
    for reader in list(rows)[-5:]:
        assert len(rows[reader]) == 2
        assert are_numbers(rows[reader])


@pytest.mark.parametrize("part", ["pools", "databases"])
def test_a_scrape_is_measured_in_each_format(part: str) -> None:
    rows = run("scrape", "--parts", part, "--pools", "3", "--databases", "2", "--rounds", "1")

    assert rows["prometheus_client's generate_latest"][1] == "1.0"
    for variant in ("text", "text, gzip", "OpenMetrics", "OpenMetrics, gzip"):
        assert len(rows[f"ours, {variant}"]) == 2
        assert are_numbers(rows[f"ours, {variant}"])


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    image = tmp_path / "growth.png"

    rows = run("growth", "--most", "1", "--rounds", "1", "--image", str(image))

    names = [name for name, cells in rows.items() if cells[0] == "ours, ms"]
    assert names == ["lines", "databases", "processes", "pools per process"]
    assert are_numbers(rows["1"])
    assert image.read_bytes().startswith(b"\x89PNG")


@needs_environments
def test_requests_are_counted_beside_query_exporter() -> None:
    rows = run("scrape", "--parts", "requests", "--rounds", "1", "--seconds", "0.01")

    for exporter in ("query-exporter", "ours"):
        assert len(rows[exporter]) == 5
        assert are_numbers(rows[exporter])


def test_starts_are_measured_with_one_and_with_many_databases() -> None:
    rows = run("start", "--databases", "3", "--rounds", "1", "--without-peer")

    for exporter in ("ours, one database", "ours, 3 databases"):
        assert len(rows[exporter]) == 5
        assert are_numbers(rows[exporter])
    assert rows["ours, one database"][1] == "1.00"


def test_a_query_is_measured_with_both_drivers() -> None:
    rows = run("postgres", *HERE)

    assert are_numbers(rows["plain SQLAlchemy"])
    assert are_numbers(rows["ours, file mapped"])


def test_a_soak_run_is_sampled_at_its_start_middle_and_end() -> None:
    rows = run("soak", "--scrapes", "200", "--beat", "0.1", "--growth", "40")

    assert rows["scrapes"] == ["220"]
    # The first steps end workers, refuse, fall silent and reload; each was taken in each part.
    assert int(rows["faults, recoveries and reloads"][0]) >= 3 * 13
    assert int(rows["workers killed"][0]) >= 3 * 3
    for name in ("resident memory, MB", "descriptors", "threads", "server connections"):
        assert len(rows[name]) == 4
        assert are_numbers(rows[name])
        assert float(rows[name][0]) > 0


def test_growth_beyond_the_tolerance_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    calm, grown = soak.Sample(70.0, 12, 3, 4), soak.Sample(74.5, 12, 3, 4)

    assert soak.print_growth([calm, calm, calm], 4.0, 60.0) == 0
    assert soak.print_growth([calm, calm, grown], 4.0, 60.0) == 1
    assert capsys.readouterr().err == "grown: resident memory, MB\n"
    assert soak.print_growth([calm, calm, calm._replace(descriptors=16)], 4.0, 60.0) == 1
    assert capsys.readouterr().err == "grown: descriptors\n"
