"""A scrape of an application's processes: real ones, killed and replaced, and damaged files."""

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.app_workers import Worker, run_worker
from tests.exporter.shared_files.shared_files import SharedFile
from tests.exporter.web.clients import build_app, open_client

pytestmark = pytest.mark.anyio

CHECKED_OUT = "sqlalchemy_pool_checked_out"
CHECKOUTS = "sqlalchemy_pool_checkouts_total"
PROCESSES = "sqlalchemy_pool_processes"
SATURATED = "sqlalchemy_pool_saturated_processes"
SCRAPES = 60


def read(text: str, name: str) -> list[float]:
    """The values of the application's series of that name."""
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels.get("origin", "app") == "app"
    ]


async def scrape(client: httpx.AsyncClient) -> str:
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert 'sqlalchemy_pool_exporter_collector_success{collector="pool"} 1.0\n' in response.text
    return response.text


async def test_the_processes_of_an_application_are_summed(tmp_path: Path) -> None:
    app = build_app({}, app={"dir": str(tmp_path)})
    async with open_client(app) as client:
        with run_worker(tmp_path) as first, run_worker(tmp_path) as second:
            first.do("checkout", "checkout")
            second.do("checkout")
            text = await scrape(client)
            assert read(text, CHECKED_OUT) == [3]
            assert read(text, PROCESSES) == [2]
            assert 'sqlalchemy_pool_exporter_app_files{state="live"} 2.0\n' in text
            first.kill()
            text = await scrape(client)
            assert read(text, CHECKED_OUT) == [1]
            assert read(text, CHECKOUTS) == [3]
            assert read(text, PROCESSES) == [1]
        text = await scrape(client)
        assert read(text, CHECKED_OUT) == read(text, PROCESSES) == []
        assert read(text, CHECKOUTS) == [3]


async def test_a_full_process_shows_beside_idle_ones_until_it_ends(tmp_path: Path) -> None:
    app = build_app({}, app={"dir": str(tmp_path)})
    with ExitStack() as stack:
        full, *idle = (stack.enter_context(run_worker(tmp_path)) for _ in range(3))
        full.do(*["checkout"] * 5)
        for worker in idle:
            worker.do("checkout", "return")
        async with open_client(app) as client:
            text = await scrape(client)
            assert read(text, PROCESSES) == [3]
            assert read(text, SATURATED) == [1]
            full.kill()
            assert read(await scrape(client), SATURATED) == [0]


async def test_a_restarted_exporter_shows_the_same_counters(tmp_path: Path) -> None:
    for _ in range(2):
        with run_worker(tmp_path) as worker:
            worker.do("checkout")
    for _ in range(2):
        async with open_client(build_app({}, app={"dir": str(tmp_path)})) as client:
            assert read(await scrape(client), CHECKOUTS) == [2]


async def test_per_process_shows_each_process(tmp_path: Path) -> None:
    app = build_app({}, app={"dir": str(tmp_path), "per_process": True})
    async with open_client(app) as client:
        with run_worker(tmp_path) as first, run_worker(tmp_path) as second:
            first.do("checkout", "checkout")
            second.do("checkout")
            text = await scrape(client)
    assert sorted(read(text, CHECKED_OUT)) == [1, 2]
    for worker in (first, second):
        assert f'process="{worker.pid}-' in text


async def test_counters_never_fall_while_workers_are_killed_and_replaced(tmp_path: Path) -> None:
    app = build_app({}, app={"dir": str(tmp_path)})
    async with open_client(app) as client:
        with replace_workers(tmp_path, 8) as replacing:
            seen: list[tuple[float, ...]] = []
            while replacing.is_alive():
                text = await scrape(client)
                names = (CHECKOUTS, "sqlalchemy_pool_checked_out_seconds_total")
                seen.append(tuple(sum(read(text, name)) for name in names))
        assert read(await scrape(client), CHECKOUTS) == [2 * 8]
    for before, after in itertools.pairwise(seen):
        assert all(old <= new for old, new in zip(before, after, strict=True)), (before, after)


@contextmanager
def replace_workers(folder: Path, number: int) -> Iterator[threading.Thread]:
    """Start workers in a thread, and kill each when the one after the next has begun."""

    def work() -> None:
        with ExitStack() as stack:
            workers: list[Worker] = []
            for _ in range(number):
                workers.append(stack.enter_context(run_worker(folder)))
                workers[-1].do("checkout", "return", "checkout")
                if len(workers) > 2:
                    workers.pop(0).kill()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


@pytest.mark.parametrize("kind", ["overwrite", "truncate", "unlink", "grow", "replace"])
async def test_a_scrape_is_complete_while_files_are_damaged(tmp_path: Path, kind: str) -> None:
    kept = SharedFile(tmp_path)
    kept.set("leaked_connections", 7)
    victim = SharedFile(tmp_path).path
    whole = victim.read_bytes()
    victim.unlink()
    with damage(victim, whole, kind):
        async with open_client(build_app({}, app={"dir": str(tmp_path)})) as client:
            for _ in range(SCRAPES):
                text = await scrape(client)
                assert read(text, "sqlalchemy_pool_leaked_connections_total") == [7]


@contextmanager
def damage(file: Path, whole: bytes, kind: str) -> Iterator[None]:
    """Do this to a file again and again, in a thread."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            file.write_bytes(whole)
            with suppress(FileNotFoundError):
                match kind:
                    case "overwrite":
                        file.write_bytes(os.urandom(len(whole)))
                    case "truncate":
                        os.truncate(file, int.from_bytes(os.urandom(2), "big") % len(whole))
                    case "unlink":
                        file.unlink()
                    case "grow":
                        os.truncate(file, 1 << 40)
                    case "replace":
                        file.with_suffix(".tmp").write_bytes(whole)
                        file.with_suffix(".tmp").replace(file)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


async def test_a_folder_that_is_removed_during_a_read_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "pools"
    folder.mkdir()
    SharedFile(folder)
    async with open_client(build_app({}, app={"dir": str(folder)})) as client:
        assert read(await scrape(client), PROCESSES) == [1]
        folder.rename(tmp_path / "elsewhere")
        text = await scrape(client)
    assert read(text, PROCESSES) == []
    assert 'sqlalchemy_pool_exporter_app_files{state="live"} 0.0\n' in text
