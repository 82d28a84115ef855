"""The JSON texts of a shared file, mostly the descriptions of pools.

A text has a tag: `crc32 << 32 | length`, or 0 for no text. The tag is stored in one step, so a text
is either there or not, and a reader recognises one that is only half written.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from functools import lru_cache
from typing import Any

from .snapshot import PoolDescription

__all__ = [
    "UnreadableFile",
    "build_text_tag",
    "check_text",
    "decode_description",
    "decode_json",
    "encode_description",
    "encode_json",
]

MAX_TEXT = 255
"""Bytes of a string in a description that are kept."""
MAX_CACHED_BYTES = 4096
"""No description of ours is longer. A longer one in a foreign file must not fill the cache."""
_MAX_NUMBER = 1 << 31


class UnreadableFile(ValueError):  # noqa: N818 - named for the file
    """A file that is not one of ours, is damaged, or is of another major version."""


def build_text_tag(text: bytes) -> int:
    """Return the tag of a text."""
    return zlib.crc32(text) << 32 | len(text)


def check_text(text: bytes | memoryview, text_tag: int) -> None:
    """Raise UnreadableFile if a text does not have this tag."""
    if len(text) != text_tag & 0xFFFFFFFF or zlib.crc32(text) != text_tag >> 32:
        raise UnreadableFile("a text in it is damaged")


def encode_json(value: Any) -> bytes:
    """Return a value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def decode_json(text: bytes) -> Any:
    """Return the value of a JSON text from an untrusted file."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableFile("a text in it is not JSON") from None


def encode_description(description: PoolDescription, room: int) -> tuple[bytes, int]:
    """Return a description as a text of at most `room` bytes, and its tag.

    Long strings are clipped until the text fits.
    """
    known = {name: value for name, value in vars(description).items() if value not in (None, "")}
    longest = MAX_TEXT
    while True:
        clipped = {
            name: _clip(value, longest) if isinstance(value, str) else value
            for name, value in known.items()
        }
        text = encode_json(clipped)
        if len(text) <= room:
            return text, build_text_tag(text)
        longest = longest * 3 // 4


def decode_description(text: bytes, text_tag: int) -> PoolDescription:
    """Return the description in a text; fields that we do not have are left out."""
    decode = _decode_description
    if len(text) > MAX_CACHED_BYTES:
        decode = _decode_description.__wrapped__  # type: ignore[assignment]
    return decode(text, text_tag)


@lru_cache(maxsize=4096)
def _decode_description(text: bytes, text_tag: int) -> PoolDescription:
    check_text(text, text_tag)
    described = decode_json(text)
    if not isinstance(described, dict):
        raise UnreadableFile("a description makes no sense")
    known = {
        field.name: _clean(described[field.name])
        for field in fields(PoolDescription)
        if _has_type(described.get(field.name), str(field.type))
    }
    return PoolDescription(**known)


def _has_type(value: Any, type_name: str) -> bool:
    if type_name == "bool":
        return isinstance(value, bool)
    if type_name == "str":
        return isinstance(value, str)
    return type(value) is int and 0 <= value <= _MAX_NUMBER


def _clean(value: Any) -> Any:
    """Return a string clipped as we write it, with unprintable characters replaced."""
    if not isinstance(value, str):
        return value
    return _clip("".join(each if each.isprintable() else "\ufffd" for each in value), MAX_TEXT)


def _clip(text: str, longest: int) -> str:
    return text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
