"""The bytes of a shared file: a header that describes itself, then blocks.

Pure functions over bytes. Reading trusts nothing: the file may be damaged, or be anybody's.

    offset   what, all numbers unsigned 64 bits in the byte order of the machine
    0        magic b"sqlapool" · byte-order mark · major version of this format
    24       bytes of the header, bytes of a block, blocks in the file, bits of unused blocks
    56       offset of the slots in a block
    64       id of the file (48 bits, the 12 hex digits of its name) · process id
    80       when it was made: realtime ns · monotonic ns
    96       generation · number of merged_ids ids (of the file `retired`, else 0)
    112      word of the slot table · word of the notes
    128      the slot table, JSON: a list of [name, kind, offset, length, bounds in ns]
    ...      the notes, JSON: versions, for people
    header   blocks: word of the description · the description, JSON · the slots, see `layout`
    the end  the merged_ids ids

A word is `crc32 << 32 | length` of the text that follows it, or 0 for none, so that a text is
there or not in one store, and one that is half written is recognised.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

from .layout import ADDITIVE_SLOTS, TABLE, Region, SlotTable
from .snapshot import PoolDescription, Snapshot, read_snapshot

__all__ = [
    "BLOCK_BYTES",
    "HEADER_BYTES",
    "FileContents",
    "Header",
    "OtherVersion",
    "UnreadableFile",
    "build_file",
    "build_header",
    "count_blocks",
    "encode_description",
    "read_contents",
    "size_in_use",
]

MAGIC = int.from_bytes(b"sqlapool", sys.byteorder)
BYTE_ORDER_MARK = 0x0102030405060708
MAJOR_VERSION = 1
HEADER_BYTES = BLOCK_BYTES = 4096
SLOTS_OFFSET = BLOCK_BYTES - 8 * TABLE.slots
RETIRED_BLOCK_BYTES = 2048
"""Of dead processes only the additive slots are kept."""
RETIRED_SLOTS_OFFSET = RETIRED_BLOCK_BYTES - 8 * ADDITIVE_SLOTS
TEXTS_OFFSET = 128
UNUSED = 6
"""The word of the header that changes while its process lives: bit n is set when block n does not
count. So one store can put a block in the place of several others."""

LAG_NS = 20_000_000
"""How much later than it read the clock a process may store what it read, see `read_snapshot`."""

MAX_BLOCK_BYTES = 1 << 16
MAX_BLOCKS = 4096
MAX_REGIONS = 256
MAX_TEXT = 255
"""Bytes of a string in a description that are kept; all of them together fit before the slots."""


class UnreadableFile(ValueError):  # noqa: N818 - what it is, not that it is an error
    """A file that is not one of ours, is damaged, or is of another major version."""


class OtherVersion(UnreadableFile):
    """A file of another major version of the format."""


class Header(NamedTuple):
    """The numbers at the beginning of a file, in their order."""

    magic: int = MAGIC
    byte_order: int = BYTE_ORDER_MARK
    major: int = MAJOR_VERSION
    header_bytes: int = HEADER_BYTES
    block_bytes: int = BLOCK_BYTES
    blocks: int = 0
    unused: int = 0
    slots_offset: int = SLOTS_OFFSET
    id: int = 0
    pid: int = 0
    created_ns: int = 0
    created_monotonic_ns: int = 0
    generation: int = 0
    merged_count: int = 0
    table_tag: int = 0
    notes_tag: int = 0


@dataclass(frozen=True)
class FileContents:
    """What a file says. Pools that are no longer in use have only counters (processes 0).

    `merged_ids` are the ids of the files whose counters are in this one. `complete`: all that it
    counts is understood, which is not so of a file of a later version.
    """

    id: int
    pid: int
    generation: int
    merged_ids: frozenset[int]
    complete: bool
    pools: tuple[Snapshot, ...]
    bytes_in_use: int = 0

    @property
    def is_sane(self) -> bool:
        """Whether the numbers of all pools make sense."""
        return all(pool.is_sane for pool in self.pools)


def build_header(table: SlotTable, notes: dict[str, str], header: Header) -> bytes:
    """The header as it is written, HEADER_BYTES long."""
    table_text = _encode([[*_place(region)] for region in table.regions.values()])
    notes_text = _encode(notes)
    numbers = header._replace(table_tag=_text_tag(table_text), notes_tag=_text_tag(notes_text))
    packed = b"".join(number.to_bytes(8, sys.byteorder) for number in numbers)
    built = packed + table_text + notes_text
    if len(built) > HEADER_BYTES:
        raise ValueError(f"a header of {len(built)} bytes, at most {HEADER_BYTES} fit")
    return built.ljust(HEADER_BYTES, b"\0")


def build_file(header: Header, pools: Sequence[Snapshot], merged_ids: Iterable[int]) -> bytes:
    """The bytes of a file that holds the counters of pools that are gone."""
    ids = [each.to_bytes(8, sys.byteorder) for each in merged_ids]
    table = SlotTable([r for r in TABLE.regions.values() if r.offset < ADDITIVE_SLOTS])
    header = header._replace(
        block_bytes=RETIRED_BLOCK_BYTES,
        slots_offset=RETIRED_SLOTS_OFFSET,
        blocks=len(pools),
        merged_count=len(ids),
    )
    blocks = (_build_block(pool) for pool in pools)
    return b"".join((build_header(table, {}, header), *blocks, *ids))


def _build_block(pool: Snapshot) -> bytes:
    text, word = encode_description(pool.pool, RETIRED_SLOTS_OFFSET - 8)
    described = word.to_bytes(8, sys.byteorder) + text
    slots = b"".join((number & _U64).to_bytes(8, sys.byteorder) for number in pool.additive)
    return described.ljust(RETIRED_SLOTS_OFFSET, b"\0") + slots


def encode_description(description: PoolDescription, room: int) -> tuple[bytes, int]:
    """The text of a description, at most `room` bytes, and its word."""
    known = {name: value for name, value in asdict(description).items() if value not in (None, "")}
    longest = MAX_TEXT
    while True:
        clipped = {
            name: _clip(value, longest) if isinstance(value, str) else value
            for name, value in known.items()
        }
        text = _encode(clipped)
        if len(text) <= room:
            return text, _text_tag(text)
        longest = longest * 3 // 4


def _clip(text: str, longest: int) -> str:
    return text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")


def read_contents(data: bytes, now_ns: int) -> FileContents:
    """What the bytes of a file say at the monotonic time `now_ns`, before which none was read.

    Raises UnreadableFile.
    """
    header, in_use, needed = _parse(data[: _NUMBERS.size])
    if needed > len(data):
        raise UnreadableFile(f"{len(data)} bytes, going by its header {needed} are in use")
    view = memoryview(data)
    table, complete = _find_table(view, header)
    pools = []
    for number in in_use:
        start = header.header_bytes + number * header.block_bytes
        slots = start + header.slots_offset
        description = _read_description(view[start:slots])
        row = view[slots : start + header.block_bytes].cast("Q")
        pools.append(read_snapshot(description, row, now_ns, table, LAG_NS))
    return FileContents(
        id=header.id,
        pid=header.pid,
        generation=header.generation,
        merged_ids=_read_merged_ids(view, header) if header.merged_count else frozenset(),
        complete=complete,
        pools=tuple(pools),
        bytes_in_use=needed,
    )


def size_in_use(data: bytes) -> int:
    """How many bytes of a file are to be read, going by its first ones; 0 when it is not one."""
    try:
        return _parse(data[: _NUMBERS.size]).needed
    except UnreadableFile:
        return 0


def count_blocks(data: bytes) -> int:
    """How many blocks are in use, going by a file's first bytes; 0 when it is not one."""
    try:
        return len(_parse(data[: _NUMBERS.size]).in_use)
    except UnreadableFile:
        return 0


class _Parsed(NamedTuple):
    """The numbers of a header, the blocks in use, and how much of the file is in use."""

    header: Header
    in_use: Sequence[int]
    needed: int


@lru_cache(maxsize=4096)
def _parse(numbers: bytes) -> _Parsed:
    """What the first bytes say, mostly the same at each look. Raises UnreadableFile."""
    if len(numbers) < _NUMBERS.size:
        raise UnreadableFile(f"{len(numbers)} bytes, a header has {HEADER_BYTES}")
    header = Header._make(_NUMBERS.unpack(numbers))
    if header.magic != MAGIC:
        raise UnreadableFile("it does not begin with the magic number")
    if header.byte_order != BYTE_ORDER_MARK:
        raise UnreadableFile("it was written by a machine with another byte order")
    if header.major != MAJOR_VERSION:
        raise OtherVersion(f"format {header.major}, this version reads {MAJOR_VERSION}")
    _check_sizes(header)
    in_use = _list_in_use(header)
    blocks = header.blocks if header.merged_count else max(in_use, default=-1) + 1
    needed = header.header_bytes + blocks * header.block_bytes + 8 * header.merged_count
    return _Parsed(header, in_use, needed)


def _list_in_use(header: Header) -> Sequence[int]:
    """The numbers of the blocks that count. Only the first 64 can be marked as unused."""
    if not header.unused:
        return range(header.blocks)
    return [number for number in range(header.blocks) if not header.unused >> number & 1]


def _check_sizes(header: Header) -> None:
    if not (
        TEXTS_OFFSET <= header.header_bytes <= MAX_BLOCK_BYTES
        and 8 <= header.slots_offset <= header.block_bytes <= MAX_BLOCK_BYTES
        and not (header.header_bytes | header.block_bytes | header.slots_offset) % 8
        and header.blocks <= (64 if header.unused else MAX_BLOCKS)
    ):
        raise UnreadableFile("its sizes make no sense")


def _read_merged_ids(view: memoryview, header: Header) -> frozenset[int]:
    start = header.header_bytes + header.blocks * header.block_bytes
    return frozenset(view[start : start + 8 * header.merged_count].cast("Q"))


def _find_table(view: memoryview, header: Header) -> tuple[SlotTable, bool]:
    """The slot table, and whether we know all its counters; our own is told by its word."""
    slots = (header.block_bytes - header.slots_offset) // 8
    if header.table_tag == _OWN_TABLE_TAG and TABLE.slots <= slots:
        return TABLE, True
    text = _read_text(view, TEXTS_OFFSET, header.table_tag, header.header_bytes)
    return _read_table(bytes(text), slots)


@lru_cache(maxsize=64)
def _read_table(text: bytes, slots: int) -> tuple[SlotTable, bool]:
    """The slot table of another version, or of `retired`; the same bytes in most files."""
    regions = []
    for entry in _as_list(_decode(text))[:MAX_REGIONS]:
        if len(_as_list(entry)) != 5 or not all(isinstance(each, str) for each in entry[:2]):
            raise UnreadableFile("its slot table makes no sense")
        name, kind, offset, length, bounds_ns = entry
        regions.append(_check_region(name, kind, [offset, length], _as_list(bounds_ns), slots))
    table = SlotTable(regions)
    return table, all(_knows(region) for region in regions if region.kind in _ADDITIVE_KINDS)


_ADDITIVE_KINDS = ("counter", "histogram")


def _knows(region: Region) -> bool:
    ours = TABLE.regions.get(region.name)
    return ours is not None and (ours.kind, ours.bounds_ns) == (region.kind, region.bounds_ns)


def _check_region(
    name: str, kind: str, numbers: list[Any], bounds_ns: list[Any], slots: int
) -> Region:
    whole = all(type(each) is int and each >= 0 for each in (*numbers, *bounds_ns))
    if not whole or numbers[0] + numbers[1] > slots or not numbers[1]:
        raise UnreadableFile(f"its slot table has no sense for {name[:40]!r}")
    if kind == "histogram" and (
        numbers[1] != len(bounds_ns) + 2 or sorted(set(bounds_ns)) != bounds_ns
    ):
        raise UnreadableFile(f"its slot table has no sense for the histogram {name[:40]!r}")
    return Region(name, kind, numbers[0], numbers[1], tuple(bounds_ns))


def _read_description(block: memoryview) -> PoolDescription:
    """What is told at the beginning of a block in use; UnreadableFile while it is being written."""
    word = int.from_bytes(block[:8], sys.byteorder)
    text = bytes(block[8 : 8 + (word & 0xFFFFFFFF)])
    # What is longer than any of ours is not kept in the cache.
    decode = _decode_description if len(text) <= BLOCK_BYTES else _decode_description.__wrapped__
    return decode(text, word)


@lru_cache(maxsize=4096)
def _decode_description(text: bytes, word: int) -> PoolDescription:
    """The description, with what it has of our fields in their types; others are left out."""
    _check_text(text, word)
    described = _decode(text)
    if not isinstance(described, dict):
        raise UnreadableFile("a description makes no sense")
    known = {
        field.name: _clean(described[field.name])
        for field in fields(PoolDescription)
        if _fits(described.get(field.name), str(field.type))
    }
    return PoolDescription(**known)


def _fits(value: Any, type_name: str) -> bool:
    if type_name == "bool":
        return isinstance(value, bool)
    if type_name == "str":
        return isinstance(value, str)
    return type(value) is int and 0 <= value <= _MAX_NUMBER


_MAX_NUMBER = 1 << 31
_U64 = (1 << 64) - 1


def _clean(value: Any) -> Any:
    """A string as short as we write them, without what does not belong on a page."""
    if not isinstance(value, str):
        return value
    return _clip("".join(each if each.isprintable() else "\ufffd" for each in value), MAX_TEXT)


def _place(region: Region) -> tuple[str, str, int, int, tuple[int, ...]]:
    return region.name, region.kind, region.offset, region.length, region.bounds_ns


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _decode(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableFile("a text in it is not JSON") from None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text_tag(text: bytes) -> int:
    return zlib.crc32(text) << 32 | len(text)


def _read_text(view: memoryview, start: int, word: int, end: int) -> memoryview:
    text = view[start : min(start + (word & 0xFFFFFFFF), end)]
    _check_text(text, word)
    return text


def _check_text(text: bytes | memoryview, word: int) -> None:
    if len(text) != word & 0xFFFFFFFF or zlib.crc32(text) != word >> 32:
        raise UnreadableFile("a text in it is damaged")


_NUMBERS = struct.Struct(f"={len(Header._fields)}Q")
_OWN_TABLE = _encode([[*_place(region)] for region in TABLE.regions.values()])
_OWN_TABLE_TAG = _text_tag(_OWN_TABLE)
