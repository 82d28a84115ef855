"""The command `demo` as users run it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.conditions import wait_until
from tests.servers.folders import make_folder

PATIENCE = 60.0
DEMO = [sys.executable, "-m", "sqlalchemy_pool_exporter", "demo"]
HELD = ("sqlalchemy_pool_held_seconds_total", "app", "orders")
Samples = dict[tuple[str, str, str], float]


@dataclass(frozen=True, slots=True)
class Demo:
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def output(self) -> str:
        return (self.folder / "stdout").read_text() + (self.folder / "stderr").read_text()

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.output)
        return found[0] if found else ""

    def read_samples(self) -> Samples:
        """Return values by family, origin and database, summed over other labels."""
        samples: Samples = {}
        for family in text_string_to_metric_families(httpx.get(f"{self.url}/metrics").text):
            for sample in family.samples:
                labels = sample.labels
                key = (sample.name, labels.get("origin", ""), labels.get("database", ""))
                samples[key] = samples.get(key, 0) + sample.value
        return samples

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def start_demo(folder: Path, *arguments: str) -> Iterator[Demo]:
    """Start the demo with its temporary files in `folder`/tmp."""
    temporary = folder / "tmp"
    temporary.mkdir()
    with (
        (folder / "stdout").open("wb") as stdout,
        (folder / "stderr").open("wb") as stderr,
        subprocess.Popen(
            [*DEMO, *arguments],
            env={**os.environ, "TMPDIR": str(temporary)},
            stdout=stdout,
            stderr=stderr,
        ) as process,
    ):
        try:
            yield Demo(process, folder)
        finally:
            process.terminate()


@pytest.fixture
def folder() -> Iterator[Path]:
    with make_folder("demo") as folder:
        yield folder


def find_servers(folder: Path, file: str = "cmdline") -> list[int]:
    """Return the processes that name the folder in that file of /proc."""
    found = []
    for text in Path("/proc").glob(f"[0-9]*/{file}"):
        try:
            if os.fsencode(folder) in text.read_bytes():
                found.append(int(text.parent.name))
        except OSError:  # gone meanwhile
            continue
    return found


def check_nothing_is_left(folder: Path) -> None:
    assert list((folder / "tmp").iterdir()) == []
    assert find_servers(folder / "tmp") == []
    assert find_servers(folder / "tmp", "environ") == []


def test_the_demo_shows_two_databases_up_one_down_and_an_app(folder: Path) -> None:
    with start_demo(folder, "--listen", "127.0.0.1:0") as demo:
        wait_until(lambda: bool(demo.url), "addresses to open", PATIENCE)
        databases = httpx.get(f"{demo.url}/health/db").json()["databases"]
        states = {name: each["status"] for name, each in databases.items()}
        assert states == {"orders": "healthy", "articles": "healthy", "archive": "unhealthy"}
        assert databases["archive"]["reason"] == "refused"
        check_numbers_move(demo)
        assert len(find_servers(folder / "tmp")) > 0
        assert demo.end(signal.SIGINT) == 0
        assert "Traceback" not in demo.output
    check_nothing_is_left(folder)


def check_numbers_move(demo: Demo) -> None:
    checkouts = "sqlalchemy_pool_checkouts_total"
    keys = [(checkouts, "app", "orders"), (checkouts, "app", "articles")]
    wait_until(lambda: demo.read_samples().keys() >= {*keys}, "the app's workers", PATIENCE)
    before = demo.read_samples()
    for key in keys:
        wait_until(lambda key=key: demo.read_samples()[key] > before[key], f"{key}", PATIENCE)  # type: ignore[misc]
    waits = ("sqlalchemy_pool_wait_duration_seconds_count", "app", "orders")
    wait_until(lambda: demo.read_samples()[waits] > 0, "somebody who waited", PATIENCE)
    timeouts = ("sqlalchemy_pool_checkout_failures_total", "app", "orders")
    wait_until(lambda: demo.read_samples()[timeouts] > 0, "somebody turned away", PATIENCE)
    assert demo.read_samples()["sqlalchemy_pool_processes", "app", "orders"] == 2
    assert before["sqlalchemy_database_up", "", "archive"] == 0
    assert before["sqlalchemy_pool_size", "probe", "orders"] == 1


def test_the_addresses_and_the_curl_lines_of_the_welcome_work(folder: Path) -> None:
    with start_demo(folder, "--listen", "127.0.0.1:0") as demo:
        wait_until(lambda: "Ctrl-C" in demo.output, "the end of the welcome", PATIENCE)
        for path in ("/", "/metrics", "/health/db"):
            assert f"{demo.url}{path} " in demo.output
        key = ("sqlalchemy_pool_processes", "app", "orders")
        wait_until(lambda: key in demo.read_samples(), "the app's workers", PATIENCE)
        wait_until(lambda: demo.read_samples()[HELD] > 0, "the first holder", PATIENCE)
        states, pools, holders = (run_line(line) for line in re.findall(r"curl .*", demo.output))
        assert 'sqlalchemy_database_up{database="archive"' in states
        assert 'origin="app"' in states
        assert 'sqlalchemy_pool_processes{application="demo-shop"' in pools
        assert 'reason="timeout"' in pools
        assert 'holder="sqlalchemy_pool_exporter.demo.shop.' in holders


def run_line(line: str) -> str:
    return subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout  # noqa: S602


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_end_the_demo(folder: Path, number: int) -> None:
    with start_demo(folder, "--listen", "127.0.0.1:0") as demo:
        wait_until(lambda: bool(demo.url), "addresses to open", PATIENCE)
        httpx.get(f"{demo.url}/-/healthy")
        assert demo.end(number) == 0
    check_nothing_is_left(folder)


def test_a_signal_during_the_start_leaves_nothing(folder: Path) -> None:
    with start_demo(folder, "--listen", "127.0.0.1:0") as demo:
        wait_until(lambda: bool(find_servers(folder / "tmp")), "PostgreSQL being set up", PATIENCE)
        assert demo.end(signal.SIGTERM) == 0
    check_nothing_is_left(folder)


def test_a_port_in_use_is_an_error_and_nothing_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with start_demo(folder, "--listen", address) as demo:
            assert demo.process.wait(PATIENCE) == 1
    assert f"cannot listen on {address}: address already in use; choose another" in demo.output
    check_nothing_is_left(folder)
