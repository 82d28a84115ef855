"""Processes of several containers share a folder: same process ids, other users and mounts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.file_format import BLOCK_BYTES, HEADER_BYTES
from sqlalchemy_pool_metrics.file_reader import list_files
from sqlalchemy_pool_metrics.process_file import RESTING_BLOCKS
from tests.agent.children import read_files, read_retired, read_total
from tests.faults.workers import ROOT, SteadyWorker, build_container
from tests.servers.folders import make_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's namespaces")

# The exporter reads as another user, through a read-only mount.
READ = """
import json, os
from pathlib import Path
from sqlalchemy_pool_exporter.shared_files import SharedFolder
os.setuid(65533)
reading = SharedFolder(Path(os.environ["SQLALCHEMY_POOL_METRICS_DIR"])).read()
processes = [
    [each.process, [[p.pool.name, p.processes, p.checkouts, p.checked_out] for p in each.pools]]
    for each in reading.processes
]
print(json.dumps([processes, {str(state): count for state, count in reading.files.items()}]))
"""

# As many processes as fit and one more, all killed, then the next one.
OUTLIVE = """
import json, os
from pathlib import Path
from sqlalchemy.pool import QueuePool
from sqlalchemy_pool_metrics import instrument
from tests.agent.children import Child, read_files, read_total, use
from tests.agent.stub_driver import build_engine
folder = Path(os.environ["SQLALCHEMY_POOL_METRICS_DIR"])
work = lambda: use(instrument(build_engine(QueuePool), name="steady"))
dead = [Child(work) for _ in range(9)]
fitted = len(read_files(folder)[True])
for child in dead:
    child.kill()
with Child(work):
    print(json.dumps([fitted, len(read_files(folder)[True]), read_total(folder).checkouts]))
"""

# 9 pools on a volume with room for 8 blocks, of which one is for merging.
OVERFILL = """
import json, os
from pathlib import Path
from sqlalchemy.pool import QueuePool
from sqlalchemy_pool_metrics import instrument, read_pools
from tests.agent.children import read_files, use
from tests.agent.stub_driver import build_engine
engines = [instrument(build_engine(QueuePool), name=f"tenant{each}") for each in range(9)]
for engine in engines:
    use(engine)
(contents,) = read_files(Path(os.environ["SQLALCHEMY_POOL_METRICS_DIR"]))[True]
checkouts = sum(pool.checkouts for pool in read_pools())
print(json.dumps([checkouts, len(contents.pools), contents.left_out]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with make_folder("pools") as made:
        made.chmod(0o777)
        yield made


def run_in_container(folder: Path, code: str, *mounts: str) -> subprocess.CompletedProcess[str]:
    """Run Python code whose shared folder this is, after these commands."""
    answer = subprocess.run(
        [*build_container(*mounts), sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "SQLALCHEMY_POOL_METRICS_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer


def read_mounted(folder: Path) -> tuple[list[tuple[str, list[list[object]]]], dict[str, int]]:
    mounts = (f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}")
    answer = run_in_container(folder, READ, *mounts)
    processes, files = json.loads(answer.stdout)
    return [(process, pools) for process, pools in processes if pools], files


def test_two_containers_with_the_same_process_ids_are_two_processes(folder: Path) -> None:
    one, other = (SteadyWorker(folder, build_container()) for _ in range(2))
    with one.start(), other.start():
        assert one.send("use 3") == other.send("use 4") == 1
        one.send("hold")
        processes, files = read_mounted(folder)
        assert files == {"live": 2, "dead": 0, "unreadable": 0}
        assert {process.split("-")[0] for process, _ in processes} == {"1"}
        assert len({process for process, _ in processes}) == 2
        assert sorted(pool[2:] for _, (pool,) in processes) == [[4, 0], [4, 1]]

        one.kill()
        processes, files = read_mounted(folder)
        assert files == {"live": 1, "dead": 1, "unreadable": 0}
        assert sorted(pool[1:] for _, (pool,) in processes) == [[0, 4, 0], [1, 4, 0]]


def test_a_restarted_container_continues_the_counters_of_the_killed_one(folder: Path) -> None:
    for expected in (2, 4, 6):
        with SteadyWorker(folder, build_container()).start() as worker:
            assert worker.send("use 2") == 1
            assert read_total(folder).checkouts == expected
            assert len(read_files(folder)[True]) == 1
            worker.kill()
    assert len(list_files(folder)) == 1


def test_processes_of_different_users_merge_each_others_dead_files(folder: Path) -> None:
    for uid, total in ((10001, 1), (10002, 2), (10001, 3)):
        with SteadyWorker(folder, build_container(), uid).start() as worker:
            worker.send("use")
            assert worker.read_log() == []
            processes, _ = read_mounted(folder)
            assert sum(pool[2] for _, pools in processes for pool in pools) == total  # type: ignore[misc]
    assert read_retired(folder).pools[0].checkouts == 2


def test_in_a_folder_with_the_sticky_bit_nothing_is_counted_twice(folder: Path) -> None:
    folder.chmod(0o1777)
    for uid, total in ((10001, 1), (10002, 2), (10001, 3), (10002, 4), (10001, 5)):
        with SteadyWorker(folder, build_container(), uid).start() as worker:
            worker.send("use")
            assert worker.send("read") == 1
            processes, _ = read_mounted(folder)
            assert sum(pool[2] for _, pools in processes for pool in pools) == total  # type: ignore[misc]


def test_a_full_volume_is_logged_once_and_the_pool_works(folder: Path) -> None:
    container = build_container(f"mount -t tmpfs -o size=16k tmpfs {folder}")
    with SteadyWorker(folder, container).start() as worker:
        worker.send("use 50")
        assert worker.send("read") == 50
        (line,) = worker.read_log()
        assert "does not share" in line
        assert "No space left on device" in line


def test_a_volume_full_of_dead_files_has_room_for_the_next_process(folder: Path) -> None:
    # Beside the files there is room for the counters of their processes.
    room = 8 * (HEADER_BYTES + RESTING_BLOCKS * BLOCK_BYTES) + HEADER_BYTES + BLOCK_BYTES
    mount = f"mount -t tmpfs -o size={room} tmpfs {folder}"
    answer = run_in_container(folder, OUTLIVE, mount)
    fitted, alive, checkouts = json.loads(answer.stdout)
    assert (fitted, alive, checkouts) == (8, 1, 8 + 1)


def test_a_volume_that_fills_up_later_harms_no_process_with_a_file(folder: Path) -> None:
    fill = f"mount -t tmpfs -o size=96k tmpfs {folder}"
    with SteadyWorker(folder, build_container(fill)).start() as worker:
        worker.send("use")
        worker.send("fill")
        assert worker.send("use 50")
        assert worker.send("read") == 51
        assert worker.read_log() == []


def test_pools_for_which_a_volume_has_no_room_are_counted_and_work(folder: Path) -> None:
    mount = f"mount -t tmpfs -o size={HEADER_BYTES + 8 * BLOCK_BYTES} tmpfs {folder}"
    answer = run_in_container(folder, OVERFILL, mount)
    assert "the volume is full: 'tenant8'" in answer.stderr
    assert json.loads(answer.stdout) == [9, 7, 2]


def test_a_read_only_folder_is_logged_once_and_the_pool_works(folder: Path) -> None:
    mounts = (f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}")
    with SteadyWorker(folder, build_container(*mounts)).start() as worker:
        worker.send("use 50")
        assert worker.send("read") == 50
        (line,) = worker.read_log()
        assert "Read-only file system" in line
