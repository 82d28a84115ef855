"""Recording changes nothing else in an application's process, and never ends it."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.file_reader import list_files
from sqlalchemy_pool_metrics.process_file import FILE_BYTES
from tests.agent.children import read_files
from tests.exporter.commands import run_exporter
from tests.faults.workers import SteadyWorker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


def test_recording_adds_no_thread_socket_or_signal_handler_to_a_process(
    tmp_path: Path,
) -> None:
    with SteadyWorker(None) as plain, SteadyWorker(tmp_path).start() as recorded:
        for worker in (plain, recorded):
            worker.send("use 20")
            worker.send("hold")
        without, with_agent = plain.send("describe"), recorded.send("describe")
    # Its file: the lock, and before Python 3.13 a descriptor of the mapping.
    assert with_agent.pop("files") == (1 if sys.version_info >= (3, 13) else 2)
    assert without.pop("files") == 0
    assert with_agent == without


def test_a_process_survives_the_removal_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pools"
    folder.mkdir()
    settings = {"APP__DIR": str(folder)}
    with (
        SteadyWorker(folder).start() as worker,
        run_exporter(tmp_path / "log", settings=settings) as exporter,
        exporter.open_client() as client,
    ):
        worker.send("use 3")
        assert 'app_files{state="live"} 1.0' in client.get("/metrics").text
        shutil.rmtree(folder)
        worker.send("use 3")
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert 'app_files{state="live"} 0.0' in answer.text
        worker.send("look")
        worker.send("use 3")
        assert worker.send("read") == 9
        (line,) = worker.read_log()
        assert "does not share" in line


@pytest.mark.parametrize("filler", ["zeros", "ones", "noise"])
def test_an_overwritten_live_file_breaks_neither_its_process_nor_the_scrape(
    tmp_path: Path, filler: str
) -> None:
    data = {"zeros": bytes, "ones": lambda size: b"\xff" * size, "noise": os.urandom}[filler]
    folder = tmp_path / "pools"
    folder.mkdir()
    settings = {"APP__DIR": str(folder)}
    with (
        SteadyWorker(folder).start() as worker,
        run_exporter(tmp_path / "log", settings=settings) as exporter,
        exporter.open_client() as client,
    ):
        worker.send("use 3")
        (path,) = list_files(folder)
        Path(path).chmod(0o600)
        with Path(path).open("r+b") as file:
            file.write(data(FILE_BYTES))
        worker.send("use 20")
        worker.send("hold")
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert 'app_files{state="unreadable"} 1.0' in answer.text
        assert "sqlalchemy_pool_checkouts_total{" not in answer.text
        worker.send("use 20")


def test_a_truncated_dead_file_is_unreadable_and_stays(
    tmp_path: Path,
) -> None:
    with SteadyWorker(tmp_path).start() as worker:
        worker.send("use 3")
    (path,) = list_files(tmp_path)
    Path(path).chmod(0o600)
    os.truncate(path, 5000)
    with SteadyWorker(tmp_path).start() as worker:
        worker.send("use")
        assert worker.read_log() == []
        assert path in list_files(tmp_path)
        Path(path).unlink()
        assert [each.pools[0].checkouts for each in read_files(tmp_path)[True]] == [1]
