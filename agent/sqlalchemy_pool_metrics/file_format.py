"""The bytes of a shared file: a header that describes the file, then the blocks.

Functions over bytes. Reading trusts nothing: a file may be damaged, or not one of ours.

    offset   what, all numbers unsigned 64 bits in the byte order of the machine
    0        magic b"sqlapool" · byte-order mark · major version of this format
    24       bytes of the header, bytes of a block, blocks in the file, bits of unused blocks
    56       offset of the slots in a block
    64       id of the file (48 bits, the 12 hex digits of its name) · process id
    80       when it was created: realtime ns · monotonic ns
    96       generation · number of merged ids (of the file `retired`, else 0)
    112      tag of the slot table · tag of the notes
    128      the slot table, JSON: a list of [name, kind, offset, length, bounds in ns]
    ...      the notes, JSON: versions, for people
    -128     the marks, at the end of the header: switch · pools without a block · two masks of 448
             bits
    header   blocks: tag of the description · the description, JSON · the slots, see `layout`
    the end  the merged ids

For the tag of a text see `tagged_text`. A file may be sparse: only blocks in use are read.

A block counts if its bit is set in the mask that applies: the first one while the switch is even,
the second one while it is odd. The process writes the other mask, then adds 1 to the switch. So one
store replaces several blocks with another one. A file whose switch is 0 has no marks, like
`retired`: all of its blocks count but the unused ones. A process keeps the bits of its unused
blocks up to date for readers that do not know the marks; they read the first 64 blocks.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from .layout import ADDITIVE_SLOTS, BUSY_UNIT_SHIFT, TABLE, Region, SlotTable
from .slot_reader import DEFAULT_OVERDUE_NS, read_snapshot
from .snapshot import OTHER, HolderNumbers, PoolDescription, Snapshot, limit_holders
from .tagged_text import (
    UnreadableFile,
    build_text_tag,
    check_text,
    decode_description,
    decode_json,
    encode_description,
    encode_json,
)

__all__ = [
    "BLOCK_BYTES",
    "HEADER_BYTES",
    "BlockMarks",
    "FileContents",
    "Header",
    "OtherVersion",
    "UnreadableFile",
    "build_file",
    "build_header",
    "count_blocks",
    "read_contents",
    "size_in_use",
]

MAGIC = int.from_bytes(b"sqlapool", sys.byteorder)
BYTE_ORDER_MARK = 0x0102030405060708
MAJOR_VERSION = 1
HEADER_BYTES = 8192
BLOCK_BYTES = 12288
SLOTS_OFFSET = BLOCK_BYTES - 8 * TABLE.slots
RETIRED_SLOTS_OFFSET = 2048 - 8 * ADDITIVE_SLOTS
"""In `retired`, which keeps only the additive slots and the counters of holders."""
RETIRED_HOLDERS_BYTES = 1 << 20
MAX_HOLDERS_BYTES = 1 << 15
"""Bytes of the holders in `retired`, of all pools and of one."""
HOLDER_BYTES = 33
"""Bytes of a holder without its name."""
TEXTS_OFFSET = 128
UNUSED = 6
"""The index of the number whose bit n is set when block n does not count."""
MARKS_BYTES = 128
SWITCH, LEFT_OUT, MASKS = 0, 1, 2
"""The indexes of the numbers in the marks."""
MASK_WORDS = 7
UNMARKED_BLOCKS = 64
"""Blocks that can be marked as unused without the marks."""

LAG_NS = 20_000_000
"""How long after reading the clock a process may store the time, see `read_snapshot`."""

MAX_BLOCK_BYTES = 1 << 16
MAX_BLOCKS = 4096
MAX_REGIONS = 256
MAX_LEFT_OUT = 1 << 31
MAX_HOLDERS = RETIRED_HOLDERS_BYTES // 32
"""Holders of all blocks of a file: `retired` has room for fewer."""
MAX_OVERDUE = 4096
"""Connections of a file from which on no further block has any that is overdue."""
_COUNTLESS_KINDS = ("gauge", "peaks", "table", "details")
"""Kinds of regions that need not be known to merge a file: they do not outlive its process."""
_U64 = (1 << 64) - 1
_NEVER_NS = 1 << 64


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


class FileContents(NamedTuple):
    """The contents of a file. A tuple, because a scrape builds one for each process.

    Attributes:
        id: The id of the file.
        pid: The process that created it.
        generation: Rises each time that `retired` is replaced.
        merged_ids: The ids of the files whose counters are in this one.
        complete: Whether we know everything that it counts; False for some later versions.
        pools: One snapshot per block; pools no longer in use have only counters (processes 0).
        bytes_in_use: The size of the part that is in use.
        left_out: How many pools of the process have no block.
        holders: How many holders all pools have.
        overdue: How many connections of all pools are overdue.
    """

    id: int
    pid: int
    generation: int
    merged_ids: frozenset[int]
    complete: bool
    pools: tuple[Snapshot, ...]
    bytes_in_use: int = 0
    left_out: int = 0
    holders: int = 0
    overdue: int = 0

    @property
    def is_sane(self) -> bool:
        """Whether all numbers are possible."""
        return self.left_out <= MAX_LEFT_OUT and all(pool.is_sane for pool in self.pools)


class BlockMarks:
    """Which blocks of the file of this process count; for one thread at a time."""

    def __init__(self, header: memoryview) -> None:
        """Take the mapped header of a file in which no block counts."""
        self._numbers = header.cast("Q")
        self._marks = header[-MARKS_BYTES:].cast("Q")
        self._in_use = 0
        self._marks[SWITCH] = 1

    def replace(self, removed: int, added: int) -> None:
        """Make readers count some blocks instead of others, in one store; each is a bit mask."""
        self._in_use = in_use = self._in_use & ~removed | added
        switch = self._marks[SWITCH] + 1
        first = MASKS + switch % 2 * MASK_WORDS
        for word in range(MASK_WORDS):
            self._marks[first + word] = in_use >> 64 * word & _U64
        self._marks[SWITCH] = switch
        self._numbers[UNUSED] = ~in_use & _U64

    def count_left_out(self, pools: int) -> None:
        """Tell readers how many pools have no block."""
        self._marks[LEFT_OUT] = pools


def build_header(table: SlotTable, notes: dict[str, str], header: Header) -> bytes:
    """Return the header as it is written, HEADER_BYTES long."""
    table_text = _encode_table(table)
    notes_text = encode_json(notes)
    numbers = header._replace(
        table_tag=build_text_tag(table_text), notes_tag=build_text_tag(notes_text)
    )
    packed = b"".join(number.to_bytes(8, sys.byteorder) for number in numbers)
    built = packed + table_text + notes_text
    room = HEADER_BYTES - MARKS_BYTES
    if len(built) > room:
        raise ValueError(f"a header of {len(built)} bytes, at most {room} fit")
    return built.ljust(HEADER_BYTES, b"\0")


def _encode_table(table: SlotTable) -> bytes:
    return encode_json(
        [
            [region.name, region.kind, region.offset, region.length, region.bounds_ns]
            for region in table.regions.values()
        ]
    )


def build_file(header: Header, pools: Sequence[Snapshot], merged_ids: Iterable[int]) -> bytes:
    """Return the bytes of `retired`, which holds the counters of pools that are gone."""
    ids = [each.to_bytes(8, sys.byteorder) for each in merged_ids]
    room = min(RETIRED_HOLDERS_BYTES // max(1, len(pools)), MAX_HOLDERS_BYTES)
    holders = [_pick_holders(pool.holders, room) for pool in pools]
    names = ["".join(f"{each.name}\n" for each in picked).encode() for picked in holders]
    rows = max(map(len, holders), default=0)
    table = _build_retired_table(rows, max(map(len, names), default=0))
    header = header._replace(
        block_bytes=RETIRED_SLOTS_OFFSET + 8 * table.slots,
        slots_offset=RETIRED_SLOTS_OFFSET,
        blocks=len(pools),
        merged_count=len(ids),
    )
    blocks = (
        (_build_slots(pool, picked, rows, len(text)) + text).ljust(header.block_bytes, b"\0")
        for pool, picked, text in zip(pools, holders, names)
    )
    return b"".join((build_header(table, {}, header), *blocks, *ids))


def _pick_holders(holders: Sequence[HolderNumbers], room: int) -> tuple[HolderNumbers, ...]:
    """Return the holders that fit into so many bytes, and the sum of the others."""
    ends = accumulate(HOLDER_BYTES + len(each.name.encode()) for each in holders)
    left = room - HOLDER_BYTES - len(OTHER)
    return limit_holders(holders, {each.name for each, end in zip(holders, ends) if end <= left})


def _build_retired_table(rows: int, name_bytes: int) -> SlotTable:
    regions = [region for region in TABLE.regions.values() if region.offset < ADDITIVE_SLOTS]
    offset = ADDITIVE_SLOTS
    for name, length in (
        ("holder_holds", rows),
        ("holder_leaks", rows),
        ("holder_held_ns", rows),
        ("holder_busy", rows),
        ("holder_names_used", min(rows, 1)),
        ("holder_names", -(-name_bytes // 8)),
    ):
        if length:
            regions.append(Region(name, TABLE.regions[name].kind, offset, length))
            offset += length
    return SlotTable(regions)


def _build_slots(
    pool: Snapshot, holders: Sequence[HolderNumbers], rows: int, name_bytes: int
) -> bytes:
    """Return a block of `retired` up to the names of the holders."""
    text, text_tag = encode_description(pool.pool, RETIRED_SLOTS_OFFSET - 8)
    described = text_tag.to_bytes(8, sys.byteorder) + text
    numbers = [*pool.additive]
    if rows:
        missing = [0] * (rows - len(holders))
        numbers += [*(each.holds for each in holders), *missing]
        numbers += [*(each.leaks for each in holders), *missing]
        numbers += [*(each.held_ns for each in holders), *missing]
        numbers += [*(each.busy_ns >> BUSY_UNIT_SHIFT for each in holders), *missing, name_bytes]
    slots = b"".join((number & _U64).to_bytes(8, sys.byteorder) for number in numbers)
    return described.ljust(RETIRED_SLOTS_OFFSET, b"\0") + slots


def read_contents(data: bytes, now_ns: int, overdue_ns: int = DEFAULT_OVERDUE_NS) -> FileContents:
    """Parse the bytes of a file.

    Args:
        data: The bytes of the file.
        now_ns: A monotonic time after which the bytes were read.
        overdue_ns: A connection that has been out for longer is overdue.

    Raises:
        UnreadableFile: The bytes are damaged, or are not in our format.
    """
    header, in_use, needed, left_out = _parse(data)
    if needed > len(data):
        raise UnreadableFile(f"{len(data)} bytes, but its header claims {needed}")
    view = memoryview(data)
    table, complete = _find_table(view, header)
    pools, holders, overdue = [], 0, 0
    for number in in_use:
        start = header.header_bytes + number * header.block_bytes
        slots_start = start + header.slots_offset
        description = _read_description(data, start, slots_start)
        slots = view[slots_start : start + header.block_bytes].cast("Q")
        if overdue >= MAX_OVERDUE:
            overdue_ns = _NEVER_NS
        pool = read_snapshot(description, slots, now_ns, table, LAG_NS, overdue_ns)
        if pool.overdue:
            pool = _name_process(pool, header.pid)
            overdue += len(pool.overdue)
        holders += len(pool.holders)
        if holders > MAX_HOLDERS:
            raise UnreadableFile(f"it has more than {MAX_HOLDERS} holders")
        pools.append(pool)
    return FileContents(
        id=header.id,
        pid=header.pid,
        generation=header.generation,
        merged_ids=_read_merged_ids(view, header) if header.merged_count else frozenset(),
        complete=complete,
        pools=tuple(pools),
        bytes_in_use=needed,
        left_out=left_out,
        holders=holders,
        overdue=overdue,
    )


def _name_process(pool: Snapshot, pid: int) -> Snapshot:
    """Return the pool, with the process of its overdue connections."""
    return pool._replace(overdue=tuple(hold._replace(process=pid) for hold in pool.overdue))


def size_in_use(data: bytes) -> int:
    """Return how many bytes to read, going by the first bytes of a file; 0 if it is not ours.

    If they are not the whole header, that is the size of the header.
    """
    try:
        return _parse(data).needed
    except UnreadableFile:
        return 0


def count_blocks(data: bytes) -> int:
    """Return how many blocks are in use, going by a file's header; 0 if it is not ours."""
    try:
        return len(_parse(data).in_use)
    except UnreadableFile:
        return 0


class _Parsed(NamedTuple):
    """What a header says: its numbers, the blocks and bytes in use, the pools without a block."""

    header: Header
    in_use: Sequence[int]
    needed: int
    left_out: int


def _parse(data: bytes) -> _Parsed:
    end = int.from_bytes(data[24:32], sys.byteorder)
    return _parse_header(data[:TEXTS_OFFSET], data[max(end - MARKS_BYTES, TEXTS_OFFSET) : end])


@lru_cache(maxsize=4096)
def _parse_header(numbers: bytes, marks: bytes) -> _Parsed:
    """Parse the numbers at both ends of a header. Cached: they are mostly the same at each scrape.

    Args:
        numbers: The first bytes of the file.
        marks: The last bytes of the header; fewer if it is not complete, or has no room for them.
    """
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
    if len(marks) < min(MARKS_BYTES, header.header_bytes - TEXTS_OFFSET):
        return _Parsed(header, (), header.header_bytes, 0)
    words = _MARKS.unpack(marks) if len(marks) == MARKS_BYTES else (0, 0)
    in_use = _list_marked(words) if words[SWITCH] else _list_unmarked(header)
    blocks = max(in_use, default=-1) + 1
    if header.merged_count:
        blocks = max(blocks, header.blocks)
    needed = header.header_bytes + blocks * header.block_bytes + 8 * header.merged_count
    return _Parsed(header, in_use, needed, words[LEFT_OUT])


def _list_marked(marks: Sequence[int]) -> Sequence[int]:
    first = MASKS + marks[SWITCH] % 2 * MASK_WORDS
    return [n for n in range(64 * MASK_WORDS) if marks[first + n // 64] >> n % 64 & 1]


def _list_unmarked(header: Header) -> Sequence[int]:
    if not header.unused:
        return range(header.blocks)
    return [number for number in range(header.blocks) if not header.unused >> number & 1]


def _check_sizes(header: Header) -> None:
    if not (
        TEXTS_OFFSET <= header.header_bytes <= MAX_BLOCK_BYTES
        and 8 <= header.slots_offset <= header.block_bytes <= MAX_BLOCK_BYTES
        and not (header.header_bytes | header.block_bytes | header.slots_offset) % 8
        and header.blocks <= (UNMARKED_BLOCKS if header.unused else MAX_BLOCKS)
    ):
        raise UnreadableFile("its sizes make no sense")


def _read_merged_ids(view: memoryview, header: Header) -> frozenset[int]:
    start = header.header_bytes + header.blocks * header.block_bytes
    return frozenset(view[start : start + 8 * header.merged_count].cast("Q"))


def _find_table(view: memoryview, header: Header) -> tuple[SlotTable, bool]:
    """Return the slot table, and whether we know all its counters. Our own has a known tag."""
    slots = (header.block_bytes - header.slots_offset) // 8
    if header.table_tag == _OWN_TABLE_TAG and TABLE.slots <= slots:
        return TABLE, True
    length = header.table_tag & 0xFFFFFFFF
    text = bytes(view[TEXTS_OFFSET : min(TEXTS_OFFSET + length, header.header_bytes)])
    check_text(text, header.table_tag)
    return _read_table(text, slots)


@lru_cache(maxsize=64)
def _read_table(text: bytes, slots: int) -> tuple[SlotTable, bool]:
    """Return the slot table of another version, or of `retired`. Most files have the same bytes."""
    regions = []
    for entry in _as_list(decode_json(text))[:MAX_REGIONS]:
        if len(_as_list(entry)) != 5 or not all(isinstance(each, str) for each in entry[:2]):
            raise UnreadableFile("its slot table makes no sense")
        name, kind, offset, length, bounds_ns = entry
        regions.append(_check_region(name, kind, [offset, length], _as_list(bounds_ns), slots))
    table = SlotTable(regions)
    return table, all(_is_known(each) for each in regions if each.kind not in _COUNTLESS_KINDS)


def _is_known(region: Region) -> bool:
    ours = TABLE.regions.get(region.name)
    return ours is not None and (ours.kind, ours.bounds_ns) == (region.kind, region.bounds_ns)


def _check_region(
    name: str, kind: str, numbers: list[Any], bounds_ns: list[Any], slots: int
) -> Region:
    whole = all(type(each) is int and each >= 0 for each in (*numbers, *bounds_ns))
    if not whole or numbers[0] + numbers[1] > slots or not numbers[1]:
        raise UnreadableFile(f"its slot table makes no sense for {name[:40]!r}")
    if kind == "histogram" and (
        numbers[1] != len(bounds_ns) + 2 or sorted(set(bounds_ns)) != bounds_ns
    ):
        raise UnreadableFile(f"its slot table makes no sense for the histogram {name[:40]!r}")
    return Region(name, kind, numbers[0], numbers[1], tuple(bounds_ns))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_description(data: bytes, start: int, end: int) -> PoolDescription:
    """Return the description of a block in use; UnreadableFile while it is being written."""
    (text_tag,) = _NUMBER.unpack_from(data, start)
    return decode_description(data[start + 8 : end][: text_tag & 0xFFFFFFFF], text_tag)


_NUMBER = struct.Struct("=Q")
_NUMBERS = struct.Struct(f"={len(Header._fields)}Q")
_MARKS = struct.Struct(f"={MARKS_BYTES // 8}Q")
_OWN_TABLE_TAG = build_text_tag(_encode_table(TABLE))
