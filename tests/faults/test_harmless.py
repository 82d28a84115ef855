"""What the application's process has with the agent is what it has without it; and it goes on."""

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


def test_a_process_has_no_thread_socket_handler_or_descriptor_more_than_without(
    tmp_path: Path,
) -> None:
    with SteadyWorker(None) as plain, SteadyWorker(tmp_path).start() as recorded:
        for worker in (plain, recorded):
            worker.tell("use 20")
            worker.tell("hold")
        without, with_agent = plain.tell("describe"), recorded.tell("describe")
    # Its file: the lock, and on Pythons older than 3.13 one that belongs to the mapping.
    assert with_agent.pop("files") == (1 if sys.version_info >= (3, 13) else 2)
    assert without.pop("files") == 0
    assert with_agent == without


def test_a_folder_that_is_removed_while_it_is_used_is_not_missed(tmp_path: Path) -> None:
    folder = tmp_path / "pools"
    folder.mkdir()
    settings = {"APP__DIR": str(folder)}
    with (
        SteadyWorker(folder).start() as worker,
        run_exporter(tmp_path / "log", settings=settings) as exporter,
        exporter.open_client() as client,
    ):
        worker.tell("use 3")
        assert 'app_files{state="live"} 1.0' in client.get("/metrics").text
        shutil.rmtree(folder)
        worker.tell("use 3")
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert 'app_files{state="live"} 0.0' in answer.text
        worker.tell("look")
        worker.tell("use 3")
        assert worker.tell("read") == 9
        (line,) = worker.read_log()
        assert "does not share" in line


@pytest.mark.parametrize("filler", ["zeros", "ones", "noise"])
def test_a_live_file_that_is_overwritten_breaks_neither_its_process_nor_the_scrape(
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
        worker.tell("use 3")
        (path,) = list_files(folder)
        Path(path).chmod(0o600)
        with Path(path).open("r+b") as file:
            file.write(data(FILE_BYTES))
        worker.tell("use 20")
        worker.tell("hold")
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert 'app_files{state="unreadable"} 1.0' in answer.text
        assert "sqlalchemy_pool_checkouts_total{" not in answer.text
        worker.tell("use 20")


def test_a_dead_file_that_is_cut_off_is_unreadable_and_the_next_process_leaves_it(
    tmp_path: Path,
) -> None:
    with SteadyWorker(tmp_path).start() as worker:
        worker.tell("use 3")
    (path,) = list_files(tmp_path)
    Path(path).chmod(0o600)
    os.truncate(path, 5000)
    with SteadyWorker(tmp_path).start() as worker:
        worker.tell("use")
        assert worker.read_log() == []
        assert path in list_files(tmp_path)
        Path(path).unlink()
        assert [each.pools[0].checkouts for each in read_files(tmp_path)[True]] == [1]
