"""Files that were made to cost as much as possible: a scrape takes bounded memory and lines."""

import fcntl
import json
import sys
import tracemalloc
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter.collectors.exposition import Scrape, choose_exposition
from sqlalchemy_pool_exporter.collectors.pool_sums import MAX_LABEL_SETS
from sqlalchemy_pool_exporter.collectors.pools import PoolCollector
from sqlalchemy_pool_exporter.shared_files import FileState, SharedFolder
from sqlalchemy_pool_exporter.shared_files import folder as folder_module
from sqlalchemy_pool_exporter.shared_files.process_file import (
    HOLDERS_OF_A_PAGE,
    OVERDUE_OF_A_PAGE,
    FileReading,
    read_file,
)
from sqlalchemy_pool_metrics.file_format import (
    HEADER_BYTES,
    MAX_BLOCK_BYTES,
    MAX_BLOCKS,
    Header,
    build_header,
)
from sqlalchemy_pool_metrics.file_reader import MAX_FILE_BYTES
from sqlalchemy_pool_metrics.layout import ADDITIVE_SLOTS, HELD_CAPACITY, TABLE, Region, SlotTable

FILES = 12
MIB = 1 << 20
# A quarter of the real limits, for the sake of the time: 16 MiB of the files are read.
LIMITS = {"MAX_PAGES": folder_module.MAX_PAGES // 4, "MAX_POOLS": folder_module.MAX_POOLS // 4}
# Nearly all of it is the content of one file of 4 MiB, as Python's numbers. All files would take
# several times as much.
MAX_PEAK = 80 * MIB
LINES_OF_A_POOL = 170
OTHER_LINES = 100
COUNT = 1 << 40
SMALL_BLOCK = 8 * ADDITIVE_SLOTS + 264
FITTING = SlotTable([each for each in TABLE.regions.values() if each.offset < ADDITIVE_SLOTS])
HELD = SlotTable(
    [
        Region("active", "gauge", 0),
        Region("held_used", "gauge", 1),
        Region("held", "table", 1, HELD_CAPACITY),
    ]
)
MANY = 5000
NAMES = SlotTable(
    [
        Region("holder_names_used", "gauge", 0),
        Region("holder_names", "text", 1, 3 * MANY // 8),
        Region("holder_holds", "holders", 1 + 3 * MANY // 8, MANY),
        Region("holder_held_ns", "holders", 1 + 3 * MANY // 8, MANY),
    ]
)
Build = Callable[[int], bytes]


def encode(number: int) -> bytes:
    return number.to_bytes(8, sys.byteorder)


def build(
    identity: int,
    block_bytes: int,
    slots: int,
    count: int = COUNT,
    text: str = "",
    table: SlotTable = FITTING,
    blocks: int = MAX_BLOCKS,
) -> bytes:
    """As many blocks as a file may have, each with this many slots and a name of its own."""
    blocks = min(blocks, (MAX_FILE_BYTES - HEADER_BYTES) // block_bytes)
    slots_offset = block_bytes - 8 * slots
    table = table if slots else SlotTable([])
    header = Header(
        blocks=blocks, block_bytes=block_bytes, slots_offset=slots_offset, id=identity, pid=1
    )
    row = encode(count) * slots
    described = (describe(f"{identity}-{block}", text) for block in range(blocks))
    return build_header(table, {}, header) + b"".join(
        each.ljust(slots_offset, b"\0") + row for each in described
    )


def describe(name: str, text: str) -> bytes:
    described = json.dumps({"name": name, "waits": True, "text": text}).encode()
    return encode(zlib.crc32(described) << 32 | len(described)) + described


def build_ids(identity: int) -> bytes:
    """No block, but ids of merged files, as many as there is room for."""
    ids = (MAX_FILE_BYTES - HEADER_BYTES) // 8
    header = build_header(TABLE, {}, Header(id=identity, pid=1, merged_count=ids))
    return header + array("Q", range(1 << 50, (1 << 50) + ids)).tobytes()


def build_holders(identity: int, blocks: int) -> bytes:
    """As many holders as a block can have; the names differ from block to block and by file."""
    slots_offset = MAX_BLOCK_BYTES - 8 * NAMES.slots
    header = Header(
        blocks=blocks, block_bytes=MAX_BLOCK_BYTES, slots_offset=slots_offset, id=identity, pid=1
    )
    rows = (
        describe(f"{identity}-{block}", "").ljust(slots_offset, b"\0")
        + encode(3 * MANY)
        + f"{identity}{block}\n".encode() * MANY
        + bytes(8 * MANY)
        for block in range(blocks)
    )
    return build_header(NAMES, {}, header) + b"".join(rows)


KINDS: dict[str, Build] = {
    "counters": lambda identity: build(identity, SMALL_BLOCK, ADDITIVE_SLOTS),
    "tiny blocks": lambda identity: build(identity, 80, 0),
    "no sense": lambda identity: build(identity, SMALL_BLOCK, ADDITIVE_SLOTS, count=1 << 61),
    "texts": lambda identity: build(identity, 65_536, 0, text="x" * 65_400),
    "ids": build_ids,
}


def build_overdue(identity: int, blocks: int) -> bytes:
    """Blocks of which every slot is a connection, out since the machine started."""
    size, slots = 8 * HELD.slots + 80, HELD.slots
    return build(identity, size, slots, count=HELD_CAPACITY, table=HELD, blocks=blocks)


def fill(folder: Path, build: Build, files: int = FILES) -> None:
    """Files that differ in their ids."""
    data = build(0)
    place = 8 * Header._fields.index("id")
    for identity in range(1, files + 1):
        path = folder / f"shop-1-{identity:012x}.pool"
        path.write_bytes(data[:place] + encode(identity) + data[place + 8 :])
    (folder / "retired").write_bytes(data)


def measure(read: Callable[[], object]) -> int:
    """The most memory that was allocated at a time."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextmanager
def keep_alive(folder: Path) -> Iterator[None]:
    """Hold the lock of each file, as a living process does."""
    with ExitStack() as stack:
        for path in folder.iterdir():
            file = stack.enter_context(path.open())
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(autouse=True)
def lower_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in LIMITS.items():
        monkeypatch.setattr(folder_module, name, limit)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_bounded(tmp_path: Path, kind: str) -> None:
    fill(tmp_path, KINDS[kind])
    assert measure(SharedFolder(tmp_path).read) < MAX_PEAK


def test_holders_are_part_of_the_cost_of_a_file_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(build_holders(1, blocks=6))
    tracemalloc.start()
    try:
        pages = read_file(str(path), 1).pages
        assert tracemalloc.get_traced_memory()[0] < MIB
    finally:
        tracemalloc.stop()
    assert pages > 6 * MANY / HOLDERS_OF_A_PAGE


def test_a_file_with_too_many_holders_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(build_holders(2, blocks=7))
    assert read_file(str(path), 2).state is FileState.UNREADABLE


def test_memory_is_bounded_if_every_connection_is_overdue(tmp_path: Path) -> None:
    fill(tmp_path, partial(build_overdue, blocks=MAX_BLOCKS), files=1)
    with keep_alive(tmp_path):
        assert measure(SharedFolder(tmp_path).read) < MAX_PEAK


def test_files_with_many_overdue_connections_are_read_up_to_a_limit(tmp_path: Path) -> None:
    fill(tmp_path, partial(build_overdue, blocks=20), files=100)
    with keep_alive(tmp_path):
        reading = SharedFolder(tmp_path).read()
    overdue = sum(len(pool.overdue) for each in reading.processes for pool in each.pools)
    assert 0 < overdue <= OVERDUE_OF_A_PAGE * folder_module.MAX_PAGES


@pytest.mark.parametrize("kind", ["counters", "tiny blocks"])
def test_lines_are_bounded(tmp_path: Path, kind: str) -> None:
    fill(tmp_path, KINDS[kind])
    collector = PoolCollector({}, SharedFolder(tmp_path).read)
    lines = b"".join(collector.render(Scrape(choose_exposition("")))).count(b"\n")
    assert MAX_LABEL_SETS < lines <= (MAX_LABEL_SETS + 1) * LINES_OF_A_POOL + OTHER_LINES


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("counters", 2), ("tiny blocks", 1), ("no sense", 2), ("texts", 5), ("ids", 4)],
)
def test_files_are_read_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, expected: int
) -> None:
    """Whether they can be read or not; those beyond are not even opened."""
    read: list[int] = []

    def read_and_note(path: str, identity: int, *more: Any) -> FileReading:
        read.append(identity)
        return read_file(path, identity, *more)

    monkeypatch.setattr(folder_module, "read_file", read_and_note)
    fill(tmp_path, KINDS[kind])
    files = SharedFolder(tmp_path).read().files
    assert len(read) == expected
    assert files[FileState.UNREADABLE] >= FILES - expected
