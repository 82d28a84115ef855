"""Reading one file: what is understood of it, and what makes it unreadable."""

import gzip
import json
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.shared_files import FileState
from sqlalchemy_pool_exporter.shared_files.process_file import FileReading, MergedFile, read_file
from sqlalchemy_pool_metrics import PoolDescription
from sqlalchemy_pool_metrics.file_format import (
    BLOCK_BYTES,
    HEADER_BYTES,
    MARKS_BYTES,
    SLOTS_OFFSET,
    Header,
    build_header,
    read_contents,
)
from sqlalchemy_pool_metrics.layout import HISTOGRAMS, TABLE, Region, SlotTable
from tests.exporter.shared_files.shared_files import POOL, SharedFile

DATA = Path(__file__).parents[2] / "data/shared_files"
ID = 0xABC
SLOTS = 1536
REGIONS = tuple(TABLE.regions.values())
Change = Callable[[list[Region]], None]


def build(
    change: Change = lambda _: None,
    description: object = None,
    header: Mapping[str, int] | None = None,
) -> bytes:
    """A dead process's file of a version whose regions are ours after `change`.

    They are placed one after the other, in a block that has room for more; every counter is 1.
    """
    regions, offset = list(REGIONS), 0
    change(regions)
    slots = [0] * SLOTS
    for at, region in enumerate(regions):
        regions[at] = replace(region, offset=offset)
        if region.kind in ("counter", "histogram") or region.name == "active":
            slots[offset : offset + region.length] = [1] * region.length
        offset += region.length
    numbers = Header(blocks=1, id=ID, pid=7, block_bytes=SLOTS_OFFSET + 8 * SLOTS)
    text = encode(description or {"name": "main", "waits": True, "size": 5})
    block = (word(text) + text).ljust(SLOTS_OFFSET, b"\0")
    row = b"".join(number.to_bytes(8, sys.byteorder) for number in slots)
    return build_header(SlotTable(regions), {}, numbers._replace(**header or {})) + block + row


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def word(text: bytes) -> bytes:
    return (zlib.crc32(text) << 32 | len(text)).to_bytes(8, sys.byteorder)


def read(tmp_path: Path, data: bytes) -> FileReading:
    file = tmp_path / f"shop-7-{ID:012x}.pool"
    file.write_bytes(data)
    return read_file(str(file), ID)


def change_number(data: bytes, name: str, number: int) -> bytes:
    at = 8 * Header._fields.index(name)
    return data[:at] + number.to_bytes(8, sys.byteorder) + data[at + 8 :]


def append(name: str, kind: str, length: int = 1, bounds_ns: tuple[int, ...] = ()) -> Change:
    return lambda regions: regions.insert(0, Region(name, kind, 0, length, bounds_ns))


def resize(name: str, length: int) -> Change:
    def change(regions: list[Region]) -> None:
        at = regions.index(TABLE.regions[name])
        regions[at] = replace(regions[at], length=length)

    return change


def rebucket(name: str, bounds_ns: tuple[int, ...]) -> Change:
    def change(regions: list[Region]) -> None:
        at = regions.index(TABLE.regions[name])
        regions[at] = replace(regions[at], length=len(bounds_ns) + 2, bounds_ns=bounds_ns)

    return change


def remove(name: str) -> Change:
    return lambda regions: regions.remove(TABLE.regions[name])


CHECKOUT_NS = TABLE.regions["checkout"].bounds_ns


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        append("connections_stolen", "counter"),
        append("reset", "histogram", 4, (1, 2)),
        append("moods", "ring of another kind", 40),
        resize("held", 300),
        resize("held", 8),
        resize("checked_out_peaks", 3),
    ],
)
def test_a_file_of_another_version_is_read_as_far_as_it_is_understood(
    tmp_path: Path, change: Change
) -> None:
    reading = read(tmp_path, build(change))
    assert reading.state is FileState.DEAD
    (pool,) = reading.pools
    assert pool.counter("connection_failures_refused") == 1
    assert pool.histogram("connect").count == len(HISTOGRAMS["connect"]) + 1
    assert pool.histogram("hold").count == len(HISTOGRAMS["hold"]) + 1


@pytest.mark.parametrize("name", ["leaked_connections", "wait", "held", "connections"])
def test_a_counter_that_a_version_lacks_is_0(tmp_path: Path, name: str) -> None:
    (pool,) = read(tmp_path, build(remove(name))).pools
    assert pool.counter("connection_failures_refused") == 1
    assert pool.counter("leaked_connections") == (name != "leaked_connections")
    assert pool.histogram("wait").count == (0 if name == "wait" else len(HISTOGRAMS["wait"]) + 1)


def test_an_unknown_bucket_counts_in_the_next_higher_one(tmp_path: Path) -> None:
    bounds = (CHECKOUT_NS[0] // 2, *CHECKOUT_NS)
    (pool,) = read(tmp_path, build(rebucket("checkout", bounds))).pools
    assert pool.histogram("checkout").counts == (2, *[1] * len(CHECKOUT_NS))


def test_a_bucket_that_a_version_lacks_is_empty(tmp_path: Path) -> None:
    bounds = CHECKOUT_NS[1:]
    (pool,) = read(tmp_path, build(rebucket("checkout", bounds))).pools
    assert pool.histogram("checkout").counts == (0, *[1] * len(CHECKOUT_NS))


def test_a_description_of_another_version_is_read_as_far_as_it_is_understood() -> None:
    known = {"name": "main", "timeout": "30"}
    odd = {"mood": "good", "port": "5432", "size": -1, "host": ["a"], "pre_ping": True}
    (pool,) = read_contents(build(description=known | odd), 0).pools
    assert pool.pool == PoolDescription(name="main", timeout="30")


def test_strings_are_clean_and_short(tmp_path: Path) -> None:
    name = 'a\n\x00\x7f\u202e\ud800"' + "x" * 300
    (pool,) = read(tmp_path, build(description={"name": name})).pools
    assert pool.pool.name.startswith('a\ufffd\ufffd\ufffd\ufffd\ufffd"xxx')
    assert len(pool.pool.name.encode()) <= 256


@pytest.mark.parametrize("header", [{"major": 2}, {"magic": 1}, {"byte_order": 1}, {"blocks": 2}])
def test_a_newer_format_or_none_is_unreadable(tmp_path: Path, header: dict[str, int]) -> None:
    reading = read(tmp_path, build(header=header))
    assert reading.state is FileState.UNREADABLE
    assert reading.problem


def test_a_file_under_the_name_of_another_is_unreadable(tmp_path: Path) -> None:
    reading = read(tmp_path, build(header={"id": ID + 1}))
    assert reading.state is FileState.UNREADABLE
    assert reading.problem == "its id is 000000000abd, its name says 000000000abc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connections", 1 << 32),
        ("held_spilled", (1 << 64) - 1),
        ("waiting_spilled", 1 << 40),
        ("connection_failures_refused", 1 << 63),
        ("hold", (1 << 64) - 1),
    ],
)
def test_numbers_that_no_pool_has_make_a_file_unreadable(
    tmp_path: Path, name: str, value: int
) -> None:
    shared = SharedFile(tmp_path)
    assert read_file(str(shared.path), shared.id).state is FileState.LIVE
    shared.set(name, value)
    assert read_file(str(shared.path), shared.id).state is FileState.UNREADABLE


def test_a_truncated_file_is_unreadable(tmp_path: Path) -> None:
    data = build()
    whole = [HEADER_BYTES, HEADER_BYTES + BLOCK_BYTES, len(data)]
    for size in (0, 1, 127, 128, 136, *whole[:-1], *(each - 1 for each in whole)):
        assert read(tmp_path, data[:size]).state is FileState.UNREADABLE


def test_a_file_of_before_the_marks_is_read(tmp_path: Path) -> None:
    """The file was written by a process with three pools, of which one was gone."""
    data = gzip.decompress((DATA / "before-256-pools.pool.gz").read_bytes())
    reading = read(tmp_path, change_number(data, "id", ID))
    assert reading.state is FileState.DEAD
    pools = {pool.pool.name: pool for pool in reading.pools}
    assert {name: pool.checkouts for name, pool in pools.items()} == {
        "orders": 5,
        "articles": 6,
        "gone": 1,
    }
    assert {pool.pool.application for pool in reading.pools} == {"shop"}
    assert pools["orders"].histogram("hold").count == 3
    assert pools["orders"].histogram("connect").count == 2


def test_counters_that_were_merged_before_the_marks_are_read(tmp_path: Path) -> None:
    data = gzip.decompress((DATA / "before-256-pools.retired.gz").read_bytes())
    path = tmp_path / "retired"
    path.write_bytes(data)
    with MergedFile(path) as merged:
        assert {pool.pool.name: pool.checkouts for pool in merged.pools} == {
            "orders": 5,
            "articles": 6,
            "gone": 1,
        }
        assert len(merged.merged_ids) == 1


def test_a_longer_header_and_bigger_blocks_of_a_later_version_are_read(tmp_path: Path) -> None:
    data = SharedFile(tmp_path, *(replace(POOL, name=f"pool{each}") for each in range(70))).data
    header, blocks = data[:HEADER_BYTES], data[HEADER_BYTES:]
    header = change_number(change_number(header, "id", ID), "header_bytes", 4 * HEADER_BYTES)
    header = change_number(header, "block_bytes", 2 * BLOCK_BYTES)
    longer = header[:-MARKS_BYTES].ljust(4 * HEADER_BYTES - MARKS_BYTES, b"+")
    bigger = (
        blocks[start : start + BLOCK_BYTES] + b"+" * BLOCK_BYTES
        for start in range(0, 71 * BLOCK_BYTES, BLOCK_BYTES)
    )
    reading = read(tmp_path, longer + header[-MARKS_BYTES:] + b"".join(bigger))
    assert reading.problem == ""
    assert [pool.pool.name for pool in reading.pools] == [f"pool{each}" for each in range(70)]


def test_pools_without_a_block_are_counted_while_their_process_lives(tmp_path: Path) -> None:
    shared = SharedFile(tmp_path)
    shared.file.marks.count_left_out(3)
    assert read_file(str(shared.path), shared.id).left_out == 3
    shared.end()
    assert read_file(str(shared.path), shared.id).left_out == 0


def test_a_description_that_is_being_written_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedFile(tmp_path)
    whole = shared.path.read_bytes()
    torn = whole.replace(b'"main"', b'"m\0in"')
    copies = [torn, torn, whole]
    monkeypatch.setattr(
        "sqlalchemy_pool_exporter.shared_files.process_file.read_stable", lambda _: copies.pop(0)
    )
    (pool,) = read_file(str(shared.path), shared.id).pools
    assert pool.pool == POOL


def test_an_internal_error_makes_the_file_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedFile(tmp_path)
    monkeypatch.setattr(
        "sqlalchemy_pool_exporter.shared_files.process_file.read_contents", lambda *_: 1 / 0
    )
    assert read_file(str(shared.path), shared.id).problem == "division by zero"


def test_a_missing_file_is_not_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(f"{tmp_path}/nothing", ID)
