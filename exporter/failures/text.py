"""The text of what an error holds: a broken `__str__` must not hide that there is an error.

It must not know what the text means.
"""

from __future__ import annotations

from collections.abc import Callable


def read_text(value: object, write: Callable[[object], str] = str) -> str:
    """What `str()` says, or another way to write it; empty when that raises."""
    try:
        return write(value)
    except Exception:
        return ""
