"""A scrape stays whole and bounded, whatever the files of the folder hold and are called."""

import json
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sqlalchemy_pool_exporter.collectors.exposition import Scrape, choose_exposition
from sqlalchemy_pool_exporter.collectors.pools import PoolCollector
from sqlalchemy_pool_exporter.collectors.registry import TimedCollectors
from sqlalchemy_pool_exporter.shared_files import SharedFolder
from sqlalchemy_pool_metrics.dead_files import merge_dead_files
from sqlalchemy_pool_metrics.file_format import (
    BLOCK_BYTES,
    HEADER_BYTES,
    MARKS_BYTES,
    SLOTS_OFFSET,
    TEXTS_OFFSET,
    Header,
    UnreadableFile,
    read_contents,
)
from sqlalchemy_pool_metrics.file_reader import MAX_FILE_BYTES
from sqlalchemy_pool_metrics.layout import TABLE
from tests.exporter.shared_files.shared_files import POOL, SharedFile

LINES_OF_A_POOL = 170
OTHER_LINES = 100
NAME = f"shop-1-{1:012x}.pool"
WORDS = len(Header._fields)
SLOTS_START = HEADER_BYTES + SLOTS_OFFSET

POWERS = (0, 3, 6, 12, 16, 31, 32, 62, 63)
extremes = st.sampled_from([0, 7, (1 << 64) - 1, *(1 << power for power in POWERS)])
numbers = extremes | st.integers(0, (1 << 64) - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
fields = st.sampled_from(sorted(POOL.__dataclass_fields__)) | st.text(max_size=9)


def build_real() -> tuple[bytes, bytes]:
    """A file and a `retired` as the agent writes them, of two pools."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared = SharedFile(folder, POOL, POOL.__class__(name="other", application="shop"))
        for number, slot in enumerate(TABLE.regions.values()):
            if slot.kind in ("counter", "histogram"):
                shared.set(slot.name, number)
        shared.set("held_used", 3)
        shared.set("held", time.monotonic_ns())
        for name in ("report", "GET /orders/{id}"):
            shared.buffers[0].holders.find(name, "")
        data = shared.path.read_bytes()
        shared.end()
        merge_dead_files(folder)
        return data, (folder / "retired").read_bytes()


FILE, RETIRED = build_real()


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def put_number(data: bytes, at: int, number: int) -> bytes:
    return put(data, at, number.to_bytes(8, sys.byteorder))


def put_text(data: bytes, word_at: int, text_at: int, room: int, value: object) -> bytes:
    """Write JSON with a word that fits it, as far as there is room."""
    text = json.dumps(value).encode()[:room]
    return put(put_number(data, word_at, zlib.crc32(text) << 32 | len(text)), text_at, text)


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """A file with one to four things wrong with it."""
    for _ in range(draw(st.integers(1, 4))):
        data = draw(st.sampled_from(CHANGES))(draw, data) or data
    return data


def truncate(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: draw(st.integers(0, len(data)))]


def flip(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, min(len(data), 3 * BLOCK_BYTES) - 1)) if data else 0
    return put(data, at, bytes([data[at] ^ 1 << draw(st.integers(0, 7))])) if data else data


def set_header(draw: st.DrawFn, data: bytes) -> bytes:
    return put_number(data, 8 * draw(st.integers(0, WORDS - 1)), draw(numbers))


def set_mark(draw: st.DrawFn, data: bytes) -> bytes:
    word = draw(st.integers(0, MARKS_BYTES // 8 - 1))
    return put_number(data, HEADER_BYTES - MARKS_BYTES + 8 * word, draw(numbers))


def set_slot(draw: st.DrawFn, data: bytes) -> bytes:
    return put_number(data, SLOTS_START + 8 * draw(st.integers(0, TABLE.slots - 1)), draw(numbers))


def set_description(draw: st.DrawFn, data: bytes) -> bytes:
    value = draw(st.dictionaries(fields, values, max_size=5) | values)
    return put_text(data, HEADER_BYTES, HEADER_BYTES + 8, SLOTS_OFFSET - 8, value)


def set_table(draw: st.DrawFn, data: bytes) -> bytes:
    """Change one cell of the slot table, or a row, or all of it."""
    table: list[Any] = [
        [each.name, each.kind, each.offset, each.length, list(each.bounds_ns)]
        for each in TABLE.regions.values()
    ]
    row = draw(st.integers(0, len(table) - 1))
    match draw(st.sampled_from(["cell", "row", "all"])):
        case "cell":
            new = draw(values | numbers | st.sampled_from(["gauge", "counter", "histogram"]))
            table[row][draw(st.integers(0, 4))] = new
        case "row":
            table[row] = draw(values)
        case "all":
            table = draw(st.lists(st.tuples(st.text(), st.text(), numbers, numbers, values)))
    return put_text(
        data,
        8 * Header._fields.index("table_tag"),
        TEXTS_OFFSET,
        HEADER_BYTES - TEXTS_OFFSET,
        table,
    )


CHANGES = (truncate, flip, set_header, set_mark, set_slot, set_description, set_table)
contents = st.binary(max_size=2 * BLOCK_BYTES) | changed(FILE) | changed(RETIRED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


def scrape(folder: Path, *, per_process: bool = False) -> str:
    collector = PoolCollector({}, SharedFolder(folder).read, per_process=per_process)
    collectors = TimedCollectors({"pool": collector})
    text = collectors.render(Scrape(choose_exposition(""))).decode()
    assert 'sqlalchemy_pool_exporter_collector_success{collector="pool"} 1.0\n' in text
    return text


def count_files(text: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "sqlalchemy_pool_exporter_app_files"
    )


@settings(max_examples=400, deadline=None)
@given(contents)
def test_any_bytes_are_contents_or_unreadable(data: bytes) -> None:
    with suppress(UnreadableFile):
        read_contents(data, time.monotonic_ns())


@settings(max_examples=300, deadline=None)
@given(data=contents, per_process=st.booleans())
def test_a_scrape_is_whole_whatever_a_file_says(
    folder: Path, data: bytes, per_process: bool
) -> None:
    (folder / NAME).write_bytes(data)
    text = scrape(folder, per_process=per_process)
    assert count_files(text) == 1
    assert text.count("\n") < 64 * LINES_OF_A_POOL + OTHER_LINES


@settings(max_examples=200, deadline=None)
@given(retired=contents, data=contents)
def test_a_scrape_is_whole_whatever_retired_says(folder: Path, retired: bytes, data: bytes) -> None:
    (folder / NAME).write_bytes(data)
    (folder / "retired").write_bytes(retired)
    try:
        assert count_files(scrape(folder)) <= 2
    finally:
        (folder / "retired").unlink()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40), max_size=8)
)
def test_a_scrape_is_whole_whatever_files_are_called(folder: Path, names: list[str]) -> None:
    files = []
    for name in names:
        with suppress(OSError, ValueError):
            files.append(folder / f"{name}.pool")
            files[-1].write_bytes(FILE)
    try:
        assert count_files(scrape(folder)) <= len(files) + 1
    finally:
        for file in files:
            with suppress(OSError, ValueError):
                file.unlink()


def build_biggest(blocks: int) -> bytes:
    """As many pools as one file can hold, each of another name."""
    header = FILE[:HEADER_BYTES]
    for name, number in {"blocks": blocks, "unused": 0}.items():
        header = put_number(header, 8 * Header._fields.index(name), number)
    header = header[:-MARKS_BYTES] + bytes(MARKS_BYTES)
    block = FILE[HEADER_BYTES : HEADER_BYTES + BLOCK_BYTES]
    return header + b"".join(
        put_text(block, 0, 8, SLOTS_OFFSET - 8, {"name": f"p{number}", "waits": True})
        for number in range(blocks)
    )


def test_files_full_of_pools_make_a_bounded_number_of_lines(tmp_path: Path) -> None:
    identity = 8 * Header._fields.index("id")
    blocks = (MAX_FILE_BYTES - HEADER_BYTES) // BLOCK_BYTES
    biggest = build_biggest(blocks)
    for number in range(1, 13):
        (tmp_path / f"shop-1-{number:012x}.pool").write_bytes(put_number(biggest, identity, number))
    for per_process in (False, True):
        text = scrape(tmp_path, per_process=per_process)
        assert text.count("\n") <= 1001 * LINES_OF_A_POOL + OTHER_LINES
        assert f'pool="p{blocks - 1}"' in text
        assert ('pool="dropped"' in text) == per_process
