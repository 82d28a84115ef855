"""Hundreds of workers are killed, some while they merge dead files, and no count is lost."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sqlalchemy_pool_metrics import dead_files
from sqlalchemy_pool_metrics.layout import SLOT
from tests.agent.children import read_total
from tests.exporter.commands import run_exporter
from tests.faults.mortal_workers import open_ledger

WORKERS = 500
SEED = 20_261_120

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scraper:
    """Scrapes without pause, and records counters that fell and scrapes that failed."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.faults: list[str] = []
        self.last: Samples = {}

    def scrape(self, client: httpx.Client) -> Samples:
        answer = client.get("/metrics")
        self.scrapes += 1
        if answer.status_code != 200:
            self.faults.append(f"status {answer.status_code}")
        return read_counters(answer.text)

    def compare(self, client: httpx.Client) -> None:
        now = self.scrape(client)
        for key, value in self.last.items():
            if now.get(key, 0) < value:
                self.faults.append(f"{key} fell from {value} to {now.get(key)}")
        self.last = now


def read_counters(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("origin") == "app"
        and sample.name.endswith(("_total", "_bucket", "_sum"))
    }


@contextmanager
def scraping(folder: Path, log: Path, scraper: Scraper) -> Iterator[None]:
    """Run an exporter that is scraped all the time."""
    done = threading.Event()
    with run_exporter(log, settings={"APP__DIR": str(folder)}) as exporter:

        def scrape_on() -> None:
            with exporter.open_client() as client:
                while not done.is_set():
                    scraper.compare(client)

        thread = threading.Thread(target=scrape_on)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def start_workers(folder: Path, ledger: Path, workers: int, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.mortal_workers"]
    return subprocess.Popen([*command, str(folder), str(ledger), str(workers), str(seed)])


@pytest.mark.skipif(sys.platform != "linux", reason="needs locks as Linux has them")
def test_no_counter_falls_and_totals_stay_exact_while_500_workers_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scraper = tmp_path / "pools", Scraper()
    folder.mkdir()
    begun = ended = 0
    for part in range(2):  # another exporter: its numbers do not depend on earlier scrapes
        ledger = tmp_path / f"ledger{part}"
        ledger.write_bytes(bytes(16 * WORKERS // 2))
        with (
            scraping(folder, tmp_path / f"exporter{part}.log", scraper),
            start_workers(folder, ledger, WORKERS // 2, SEED + part) as workers,
        ):
            assert workers.wait(300) == 0
        numbers = open_ledger(str(ledger)).tolist()
        begun, ended = begun + sum(numbers[::2]), ended + sum(numbers[1::2])
    total = read_total(folder)

    assert scraper.faults == []
    assert scraper.scrapes > 20
    assert 0 < begun - ended < WORKERS
    assert ended <= total.checkouts <= begun
    assert 0 <= total.checkouts - total.histogram("hold").count <= 4 * WORKERS

    monkeypatch.setattr(dead_files, "ABANDONED_SECONDS", 0)
    dead_files.merge_dead_files(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["gc.lock", "retired"]
    unfinished = SLOT["unfinished_checked_out_ns"]
    merged = list(read_total(folder).additive)
    assert merged[unfinished] >= total.additive[unfinished]
    merged[unfinished] = total.additive[unfinished]
    assert merged == list(total.additive)
